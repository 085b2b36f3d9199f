"""A pool of opinions is the geometric mean of its members', and what others have to beat where labels are shared."""

import pytest
import torch
from torch.nn import functional as F

from learners import OpinionPool, make, strategies
from learners.choice.fallback import fallback
from learners.choice.prior import score_examples
from learners.classifier import Classifier
from learners.support import Support

DIM, NAMES = 8, ("pooled", "ordinal", "reference")


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def members():
    found = {name: make(name, DIM, 3) for name in NAMES}
    for seed, learner in enumerate(found.values()):
        for parameter in learner.parameters():
            parameter.data += 0.2 * normal(*parameter.shape, seed=seed)
    return found


def pooled(members):
    return OpinionPool(members).adapt(Support(normal(9, DIM), torch.arange(3).repeat(3)))


def test_the_pool_is_the_normalised_geometric_mean_of_what_its_members_say(members):
    x = normal(50, DIM, seed=3)
    alone = [m.adapt(Support(normal(9, DIM), torch.arange(3).repeat(3))).predict_proba(x) for m in members.values()]
    product = torch.stack(alone).prod(0) ** (1 / len(alone))
    assert torch.allclose(pooled(members).predict_proba(x), product / product.sum(1, keepdim=True), atol=1e-6)


def test_the_pool_never_loses_more_than_its_members_on_average(members):
    x, y = normal(50, DIM, seed=3), torch.arange(50) % 3
    alone = [m.adapt(Support(normal(9, DIM), torch.arange(3).repeat(3))).logits(x) for m in members.values()]
    losses = torch.stack([F.cross_entropy(logits, y, reduction="none") for logits in alone]).mean(0)
    assert (F.cross_entropy(pooled(members).logits(x), y, reduction="none") <= losses + 1e-6).all()


def test_a_pool_comes_back_from_its_file_to_the_bit(members, tmp_path):
    classifier, x = (
        pooled(members).with_labels(["calm", "usual", "turbulent"]).with_temperature(1.5),
        normal(50, DIM, seed=3),
    )
    classifier.save(tmp_path)
    assert torch.equal(Classifier.load(tmp_path).predict_proba(x), classifier.predict_proba(x))


@pytest.mark.parametrize(("count", "expected"), [(3, "opinion_pool"), (1, "pooled"), (0, "logistic")])
def test_what_others_have_to_beat_is_the_pool_where_there_are_opinions_to_pool(members, count, expected):
    chosen_from = strategies({name: members[name] for name in NAMES[:count]}, DIM)
    assert fallback(chosen_from) == expected
    assert ("opinion_pool" in chosen_from) == (count > 1)


def test_strategies_are_compared_by_who_is_right_and_of_what_lies_ahead_by_likelihood():
    logits, y = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    assert score_examples(logits, y, in_time=False).tolist() == [1, 0]
    assert torch.allclose(score_examples(logits, y, in_time=True), logits.double().log_softmax(1).diagonal(), atol=1e-6)
