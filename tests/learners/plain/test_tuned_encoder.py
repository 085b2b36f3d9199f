"""Tuning an encoder: what is added is nothing at first, what is merged says the same, and held-out examples gain."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from learners.plain.tuned_encoder import (
    LowRank,
    Recipe,
    add_low_rank,
    contrast,
    fit_head,
    merge_low_rank,
    paired_order,
    read,
    tune,
    tuned_state,
    turn,
)


class Words:
    """Counts of twelve words through two maps: an encoder small enough to be tuned at once."""

    def __init__(self, seed=0):
        torch.manual_seed(seed)
        self.model = nn.Module()
        self.model.encoder = nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 4))

    def prepare(self, examples):
        return list(examples)

    def batches(self, prepared, rows):
        for start in range(0, len(rows), 8):
            yield list(rows[start : start + 8])

    def vectors(self, prepared):
        return self.model.encoder(torch.stack(list(prepared)))


def examples(n, seed):
    """Three classes, told by which of four words come often; [n, 12] counts and labels [n]."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    x = torch.rand(n, 12, generator=generator) + 0.7 * F.one_hot(y, 3).float().repeat(1, 4) * torch.rand(n, 1)
    return x, y


def tuned(rank, epochs=5, seed=0, weight=0.0):
    encoder, (x, y) = Words(), examples(90, 1)
    head = fit_head(encoder, encoder.prepare(x), y)
    if rank:
        encoder.model.requires_grad_(False)
        add_low_rank(encoder.model.encoder, rank, torch.Generator().manual_seed(seed))
    recipe, seen = Recipe(0.02, 0.02, batch=16, contrast=weight, rank=rank), []
    generator = torch.Generator().manual_seed(seed)
    epochs = list(tune(encoder, head, encoder.prepare(x), y, epochs, recipe, generator, seen.append))
    return encoder, head, epochs, seen


def log_loss(encoder, head):
    x, y = examples(300, 2)
    with torch.no_grad():
        return float(F.cross_entropy(head(read(encoder, encoder.prepare(x))), y))


@pytest.mark.parametrize(("rank", "weight"), [(0, 0.0), (3, 0.0), (3, 0.5)])
def test_a_tuned_encoder_is_surer_of_held_out_examples_than_its_head_on_frozen_vectors(rank, weight):
    before = tuned(rank, epochs=0)[:2]
    encoder, head, epochs, seen = tuned(rank, weight=weight)
    assert log_loss(encoder, head) < log_loss(*before) - 0.05
    assert epochs == [1, 2, 3, 4, 5]
    assert sum(seen) == 5 * 90


def test_the_same_generator_gives_the_same_encoder():
    for one, other in zip(
        tuned_state(tuned(3)[0].model).values(), tuned_state(tuned(3)[0].model).values(), strict=True
    ):
        assert torch.equal(one, other)


def test_matrices_of_low_rank_change_nothing_at_first_and_are_all_that_is_tuned():
    encoder, (x, _) = Words(), examples(9, 1)
    before = read(encoder, encoder.prepare(x))
    encoder.model.requires_grad_(False)
    add_low_rank(encoder.model.encoder, 2, torch.Generator())
    assert torch.equal(read(encoder, encoder.prepare(x)), before)
    assert {name.rsplit(".")[-1] for name in tuned_state(encoder.model)} == {"down", "up"}
    for module in encoder.model.modules():
        if isinstance(module, LowRank):
            nn.init.normal_(module.up)
    changed = read(encoder, encoder.prepare(x))
    assert not torch.allclose(changed, before)
    merge_low_rank(encoder.model)
    assert not any(isinstance(module, LowRank) for module in encoder.model.modules())
    torch.testing.assert_close(read(encoder, encoder.prepare(x)), changed)


def test_the_contrast_is_low_where_examples_are_near_those_of_their_label_and_0_without_company() -> None:
    x = torch.tensor([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0], [0.1, 3.0]])
    near, far = contrast(x, torch.tensor([0, 0, 1, 1])), contrast(x, torch.tensor([0, 1, 0, 1]))
    assert near < 0.01
    assert far > 5
    assert contrast(x, torch.arange(4)) == 0
    z = F.normalize(x, dim=1)[:3] / 0.1**0.5
    by_hand = -sum(float(z[i] @ z[1 - i] - torch.logsumexp(z[i] @ z[[1 - i, 2]].T, 0)) for i in (0, 1)) / 2
    assert float(contrast(x[:3], torch.tensor([0, 0, 1]))) == pytest.approx(by_hand, abs=1e-5)


def test_contrast_has_finite_gradients() -> None:
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    contrast(x, torch.tensor([0, 0, 0, 1, 1, 2])).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_an_order_of_pairs_has_every_row_once_and_most_beside_one_of_its_label() -> None:
    y = torch.arange(40) % 5
    order = paired_order(y, torch.Generator().manual_seed(0))
    assert sorted(order) == list(range(40))
    assert all(y[a] == y[b] for a, b in zip(order[::2], order[1::2], strict=True))
    assert order != paired_order(y, torch.Generator().manual_seed(1))


def test_an_image_is_turned_in_eight_ways():
    image, generator = torch.arange(12).reshape(1, 3, 4), torch.Generator().manual_seed(0)
    found = {tuple(turn(image, generator).flatten().tolist()) for _ in range(200)}
    assert len(found) == 8
    assert all(sorted(each) == list(range(12)) for each in found)
