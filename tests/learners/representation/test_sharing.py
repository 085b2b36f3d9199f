"""What several learners compute alike is computed once, and only while it is asked for."""

import torch

from learners.choice.cross_validation import cross_validate
from learners.methods.reference import Reference, Transductive
from learners.representation.axes import Axes
from learners.representation.sharing import share_results, shareable
from learners.support import Support

calls = []


@shareable
def doubled(x, y=None):
    calls.append(x)
    return 2 * x


def test_equal_tensors_share_a_result_while_sharing_is_open_and_never_afterwards():
    calls.clear()
    x = torch.arange(3.0)
    with share_results():
        one, other = doubled(x), doubled(x.clone())
        assert one is other
        assert torch.equal(doubled(x + 1), 2 * x + 2)
        assert doubled(x, None) is not one  # other arguments
    assert len(calls) == 3
    assert doubled(x) is not doubled(x)
    assert len(calls) == 5


def test_folds_take_the_axes_of_support_and_pool_once_for_all_learners_and_give_what_each_gives_alone(monkeypatch):
    draw, total, taken = torch.Generator().manual_seed(0), Axes.total, []
    monkeypatch.setattr(Axes, "total", lambda *given: taken.append(given) or total(*given))
    y = torch.arange(3).repeat_interleave(4)
    x, pool = torch.randn(12, 5, generator=draw) + y[:, None], torch.randn(60, 5, generator=draw)
    support = Support(x, y, pool)
    fold, learners = torch.arange(12) % 2, {"transductive": Transductive(5), "reference": Reference(5)}
    together = cross_validate(learners, support, fold)
    assert len(taken) == 2
    for name, learner in learners.items():
        assert torch.equal(together[name], cross_validate({name: learner}, support, fold)[name])
