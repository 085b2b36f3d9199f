"""Fixtures that tests of several learners use."""

from collections.abc import Callable

import pytest


class Stop(Exception):
    pass


@pytest.fixture
def stopped() -> Callable[..., None]:
    """``stopped(steps, work)`` runs ``work(progress)`` until it reports more than so many steps, which it must."""

    def stopped(steps: int, work: Callable[[Callable[[int], None]], object]) -> None:
        left = [steps]

        def progress(n: int) -> None:
            left[0] -= n
            if left[0] < 0:
                raise Stop

        with pytest.raises(Stop):
            work(progress)

    return stopped
