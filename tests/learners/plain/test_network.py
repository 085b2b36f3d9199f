"""A network joins where labels are many: it finds what is not linear, and is held out from what it scores."""

import torch

from learners import plain_strategies
from learners.choice.portfolio import choose
from learners.choice.prior import Prior
from learners.encoders.ngrams import count_ngrams
from learners.examples import Examples
from learners.plain.network import FEWEST, MOST_WAYS, cross_fit_network, is_worth_training, train
from learners.support import Support


def corners(n, seed=0):
    """Two labels [n] that no linear map tells apart: whether the first two features [n, 8] have the same sign."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=generator)
    return x, (x[:, 0] * x[:, 1] > 0).long()


def test_what_no_linear_map_can_say_is_learned_the_same_every_time():
    x, y = corners(1500)
    state = torch.random.get_rng_state()
    one, other = train(x, y, 2), train(x, y, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
    new, truth = corners(500, 1)
    assert (one.logits(new).argmax(1) == truth).float().mean() > 0.85
    assert torch.equal(one.logits(new), other.logits(new))


def test_an_example_is_scored_by_a_network_that_has_not_seen_it():
    x, y = corners(60)
    fold = torch.arange(60) % 4 - 1  # the first of every four is never held out
    logits, fit = cross_fit_network(Support(x, y, ways=2), fold)
    assert logits.shape == (45, 2)
    wrong = y.clone()
    wrong[1] = 1 - y[1]
    assert torch.equal(cross_fit_network(Support(x, wrong, ways=2), fold)[0][0], logits[0])
    assert not torch.equal(cross_fit_network(Support(x, wrong, ways=2), fold)[0][1], logits[1])
    assert torch.equal(fit().logits(x), train(x, y, 2).logits(x))


def test_few_examples_or_very_many_labels_are_not_worth_it():
    x = torch.randn(FEWEST, 3)
    assert is_worth_training(Support(x, torch.arange(FEWEST) % 3, ways=3))
    assert not is_worth_training(Support(x[1:], torch.arange(FEWEST - 1) % 3, ways=3))
    assert not is_worth_training(Support(x, torch.arange(FEWEST) % 300, ways=MOST_WAYS + 1))


def test_the_portfolio_of_texts_takes_what_a_network_adds():
    x, y = corners(900)
    ngrams = count_ngrams([f"text {i}" for i in range(900)])
    strategies = {name: each for name, each in plain_strategies(8).items() if name in ("logistic", "tuned_logistic")}
    support = Support(x[:600], y[:600], ways=2, ngrams=ngrams[:600])
    found = choose(strategies, support, Prior(), torch.Generator().manual_seed(0)).classifier
    assert (found.predict_proba(Examples(x[600:], ngrams[600:])).argmax(1) == y[600:]).float().mean() > 0.7
