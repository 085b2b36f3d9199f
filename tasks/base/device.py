"""Where networks run: on the processor, or on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from domains.errors import UserError
from tasks.base.settings import settings


def torch_device(named: str = "") -> torch.device:
    """Return a device by name; that of the setting unless named, and of ``auto`` a GPU where there is one.

    Raises:
        UserError: it is not on this machine.
    """
    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.append("mps")
    if torch.cuda.is_available():
        there.append("cuda")
    name = named or settings().device
    if name == "auto":
        return torch.device(there[-1])
    if name not in there:
        raise UserError(f"no device {name!r} on this machine; there is: {', '.join(there)}")
    return torch.device(name)


def at_once(processes: int) -> int:
    """Return how many of so many processes compute at once: on a GPU one."""
    return processes if torch_device().type == "cpu" else 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread for a while."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
