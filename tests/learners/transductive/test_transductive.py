"""Published transductive learners: what the pool is worth to them, and what they do without one."""

import pytest
import torch
from torch.nn import functional as F

from learners import TRANSDUCTIVE
from learners.classifier import Classifier
from learners.plain.prototype import NearestPrototype
from learners.support import Support
from learners.transductive.alpha_tim import AlphaTIM
from learners.transductive.laplacian_shot import LaplacianShot
from learners.transductive.paddle import PADDLE
from learners.transductive.pt_map import PTMAP, transport

WAYS, DIM = 5, 64
EVEN, UNEVEN = (0.2,) * 5, (0.6, 0.2, 0.1, 0.06, 0.04)


def task(shares=EVEN, shots=1, seed=0):
    """Return a support set with a pool of 300, and 1,000 test examples with their labels."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(WAYS, DIM, generator=g)

    def near(y):
        return centres[y] + 2 * torch.randn(len(y), DIM, generator=g)

    y = torch.arange(WAYS).repeat_interleave(shots)
    of_pool, of_test = (torch.multinomial(torch.tensor(shares), n, True, generator=g) for n in (300, 1000))
    return Support(near(y), y, near(of_pool)), near(of_test), of_test


def accuracy(kind, support, x, y):
    return float((kind(DIM).adapt(support).logits(x).argmax(1) == y).float().mean())


@pytest.mark.parametrize("kind", TRANSDUCTIVE, ids=lambda kind: kind.name)
def test_a_pool_of_even_classes_helps(kind):
    gains = [accuracy(kind, *task(seed=i)) - accuracy(NearestPrototype, *task(seed=i)) for i in range(3)]
    assert sum(gains) / 3 > 0.02


def test_those_made_for_uneven_pools_gain_there_and_the_one_made_for_even_ones_loses():
    problems = [task(UNEVEN, 5, seed) for seed in range(3)]
    plain, ours, pt_map = (
        sum(accuracy(kind, *each) for each in problems) / 3 for kind in (NearestPrototype, AlphaTIM, PTMAP)
    )
    assert ours > plain > pt_map


@pytest.mark.parametrize("kind", TRANSDUCTIVE, ids=lambda kind: kind.name)
def test_without_a_pool_it_is_nearest_means_and_is_kept_as_tensors(kind, tmp_path):
    support, x, _ = task(shots=3)
    found = kind(DIM).adapt(Support(support.x, support.y))
    assert torch.isfinite(found.logits(x)).all()
    full = kind(DIM).adapt(support)
    full.save(tmp_path)
    assert torch.equal(Classifier.load(tmp_path).logits(x), full.logits(x))


@pytest.mark.parametrize("kind", TRANSDUCTIVE, ids=lambda kind: kind.name)
def test_it_bears_features_that_never_change_and_a_pool_of_one(kind):
    support, x, _ = task(shots=2)
    still = torch.cat([support.x[:, :-1], torch.ones(len(support.x), 1)], 1)
    pool = torch.cat([support.pool_x[:1, :-1], torch.ones(1, 1)], 1)
    assert torch.isfinite(kind(DIM).adapt(Support(still, support.y, pool)).logits(x)).all()


def test_paddle_says_less_of_classes_that_the_pool_lacks():
    support, x, _ = task((0.5, 0.5, 0.0, 0.0, 0.0), 5)
    p = F.softmax(PADDLE(DIM).adapt(support).logits(x), 1).mean(0)
    assert p[:2].min() > 10 * p[2:].max()


def test_laplacian_shot_gives_neighbours_one_label():
    y = torch.arange(2)
    x = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    chain = torch.tensor([[0.9, 0.0, 0.4], [0.7, 0.2, 0.7], [0.5, 0.45, 0.9], [0.0, 1.0, -0.5], [0.1, 1.0, -0.4]])
    head = LaplacianShot(3).adapt(Support(x, y, chain))
    assert head.logits(torch.tensor([[0.4, 0.5, 1.0]])).argmax() == 0  # nearer to neither, but along the chain


def test_a_transport_plan_has_whole_rows_and_even_columns():
    plan = transport(torch.rand(40, 5, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(plan.sum(1), torch.ones(40))
    torch.testing.assert_close(plan.sum(0), torch.full((5,), 8.0), atol=1e-3, rtol=0)
