"""A support set with the features of several encoders: each is heard as far as it helps."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from learners import plain_strategies
from learners.chain import Chain, exportable_part
from learners.choice.portfolio import choose
from learners.choice.prior import Prior
from learners.classifier import Blend, Classifier, Columns
from learners.encoders.ngrams import count_ngrams
from learners.examples import Examples
from learners.plain.words import Words
from learners.support import Support

WAYS, DIMS = 4, (6, 9)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def task(shots, told_by, seed=0, noise=1.0):
    """Features [n, 15] of two encoders, of which those that are ``told_by`` tell the classes apart."""
    generator, y = seeded(seed), torch.arange(WAYS).repeat(shots)
    parts = []
    for number, dim in enumerate(DIMS):
        centres = torch.randn(WAYS, dim, generator=seeded(100 + number)) * 2.0
        signal = centres[y] if number in told_by else torch.zeros(len(y), dim)
        parts.append(signal + noise * torch.randn(len(y), dim, generator=generator))
    return torch.cat(parts, 1), y


def choose_for(support, **more):
    return choose(plain_strategies(DIMS[0]), support, Prior(), seeded(), others=[plain_strategies(DIMS[1])], **more)


def accuracy(classifier, told_by):
    x, y = task(200, told_by, seed=9)
    return float((classifier.predict_proba(x).argmax(1) == y).double().mean())


@pytest.mark.parametrize("shots", [1, 3, 20])
@pytest.mark.parametrize("told_by", [(0,), (1,), (0, 1)], ids=str)
def test_what_either_encoder_tells_is_heard(shots, told_by):
    x, y = task(shots, told_by)
    choice = choose_for(Support(x, y, ways=WAYS, widths=DIMS))
    assert accuracy(choice.classifier, told_by) > {1: 0.4, 3: 0.75, 20: 0.85}[shots]


def test_two_that_tell_different_things_are_better_than_either():
    x, y = task(8, (0, 1), noise=2.2)
    both = choose_for(Support(x, y, ways=WAYS, widths=DIMS)).classifier
    alone = choose(plain_strategies(DIMS[0]), Support(x[:, : DIMS[0]], y, ways=WAYS), Prior(), seeded()).classifier
    test_x, test_y = task(400, (0, 1), seed=9, noise=2.2)
    losses = [F.nll_loss(c.predict_proba(v).log(), test_y) for c, v in ((both, test_x), (alone, test_x[:, : DIMS[0]]))]
    assert losses[0] < losses[1] - 0.1


def test_an_encoder_that_tells_nothing_of_many_labels_is_not_needed():
    x, y = task(100, (0,))
    classifier = choose_for(Support(x, y, ways=WAYS, widths=DIMS)).classifier
    assert classifier.reads(0, 6)
    assert not classifier.reads(6, 15)
    assert accuracy(classifier, (0,)) > 0.85
    empty = torch.cat([x[:, :6], torch.zeros(len(x), 9)], 1)
    assert torch.equal(classifier.predict_proba(empty), classifier.predict_proba(x))


def test_a_pool_names_and_labels_without_examples_are_divided_with_the_features():
    x, y = task(5, (0, 1))
    pool, _ = task(30, (0, 1), seed=5)
    names = torch.randn(WAYS + 1, sum(DIMS), generator=seeded(3))
    support = Support(x, y, pool, names, tuple("abcde"), ways=WAYS + 1, widths=DIMS)
    second = support.of_encoder(1)
    assert second.x.shape == (len(x), 9)
    assert second.pool_x.shape == (len(pool), 9)
    assert torch.equal(second.names_x, names[:, 6:])
    assert (second.read.start, second.widths) == (6, ())
    p = choose_for(support).classifier.predict_proba(x)
    assert p.shape == (len(x), WAYS + 1)
    assert p[:, -1].max() < 0.2


def test_a_strategy_that_is_asked_for_reads_the_first_encoder_alone():
    x, y = task(5, (0, 1))
    choice = choose_for(Support(x, y, ways=WAYS, widths=DIMS), only="prototype")
    assert choice.strategy == "prototype"
    assert not choice.classifier.reads(6, 15)


def test_with_one_encoder_the_outcome_is_as_if_there_were_no_others():
    x, y = task(6, (0,))
    one = Support(x[:, :6], y, ways=WAYS)
    alone, same = (choose(plain_strategies(6), s, Prior(), seeded()) for s in (one, replace(one, widths=(6,))))
    torch.testing.assert_close(alone.classifier.predict_proba(one.x), same.classifier.predict_proba(one.x))


def test_what_was_saved_reads_the_same_columns(tmp_path):
    x, y = task(6, (0, 1))
    classifier = choose_for(Support(x, y, ways=WAYS, widths=DIMS)).classifier
    classifier.save(tmp_path)
    assert torch.allclose(Classifier.load(tmp_path).predict_proba(x), classifier.predict_proba(x), atol=1e-6)


def test_what_reads_the_first_encoder_can_be_exported_and_the_rest_is_left_out():
    x, y = task(30, (0, 1))
    classifier = choose_for(Support(x, y, ways=WAYS, widths=DIMS)).classifier.with_labels("abcd")
    (blend,) = [layer for layer in classifier.layers if isinstance(layer, Blend)]
    assert any(isinstance(m.layers[0], Columns) and m.layers[0].start == 6 for m in blend.members)
    part = exportable_part(classifier, 6)
    assert not part.reads(6, 15)
    torch.testing.assert_close(F.softmax(Chain.of(part, 6)(x[:, :6]), 1), part.predict_proba(x), atol=1e-5, rtol=1e-4)


def test_what_reads_words_alone_reads_no_encoder():
    x, y = task(6, (0,))
    ngrams = count_ngrams([f"word{label} of text {i}" for i, label in enumerate(y.tolist())])
    first = Support(x, y, ways=WAYS, widths=DIMS, ngrams=ngrams).of_encoder(0)
    words = first.reading(Words(DIMS[0]).adapt(first))
    assert not words.reads(0, 15)
    assert words.predict_proba(Examples(x, ngrams)).shape == (len(x), WAYS)


# What a tuned encoder says: log-probabilities of the labels


def with_opinions(shots, sure, told_by=()):
    """A support set of one encoder, with opinions that are ``sure`` of the right label, and a test of the same."""
    found = []
    for seed, of in ((0, shots), (7, 50)):
        (x, y), generator = task(of, told_by), seeded(20 + seed)
        logs = F.log_softmax(sure * F.one_hot(y, WAYS) + torch.randn(len(y), WAYS, generator=generator), 1)
        found.append((torch.cat([x[:, : DIMS[0]], logs], 1), y))
    (x, y), test = found
    return Support(x, y, ways=WAYS, widths=(DIMS[0], WAYS)), test


@pytest.mark.parametrize("shots", [5, 60])
def test_opinions_are_heard_as_far_as_they_are_right(shots):
    support, (x, y) = with_opinions(shots, sure=4.0)
    model = choose(plain_strategies(DIMS[0]), support, Prior(), seeded()).classifier
    assert (model.predict_proba(x).argmax(1) == y).float().mean() > 0.8
    assert model.reads(DIMS[0], DIMS[0] + WAYS)


def test_opinions_that_say_nothing_of_many_labels_are_not_needed():
    support, _ = with_opinions(300, sure=0.0, told_by=(0,))
    model = choose(plain_strategies(DIMS[0]), support, Prior(), seeded()).classifier
    assert not model.reads(DIMS[0], DIMS[0] + WAYS)


def test_opinions_of_labels_without_examples_are_put_away():
    support, (x, y) = with_opinions(20, sure=4.0)
    support = support.select(support.y != 2)
    p = choose(plain_strategies(DIMS[0]), support, Prior(), seeded()).classifier.predict_proba(x)
    assert p[:, 2].max() < 1e-3
    assert (p.argmax(1) == y)[y != 2].float().mean() > 0.8
