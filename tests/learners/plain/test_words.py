"""Words beside features: n-grams, the model of them, its blend with a strategy, and how it is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from learners.base import unable
from learners.choice.portfolio import choose
from learners.choice.prior import Prior
from learners.classifier import Affine, Blend, Classifier, NgramAffine, tf_idf
from learners.encoders.ngrams import BUCKETS, count_ngrams
from learners.examples import Examples
from learners.plain import words
from learners.plain.logistic import Logistic
from learners.plain.softmax_regression import fit_path, principal_coordinates
from learners.plain.tuned_logistic import STRENGTHS, TunedLogistic
from learners.plain.words import Words, cross_fit_words, multiply
from learners.representation.layers import LastLayer, OnLayers
from learners.support import Support

TOPICS = ("heart valve murmur", "broken leg bone", "blurred vision eye", "itching skin rash")
FILLER = [
    "the",
    "patient",
    "was",
    "seen",
    "today",
    "with",
    "a",
    "report",
    "of",
    "mild",
    "and",
    "then",
    "severe",
    "signs",
    "for",
    "some",
    "days",
]


def texts(count: int, seed: int = 0) -> tuple[list[str], torch.Tensor]:
    """Return texts that a word of their topic tells apart, and their topics [n]."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % len(TOPICS)
    rows = [" ".join([*rng.choice(FILLER, 6), rng.choice(TOPICS[c].split()), *rng.choice(FILLER, 3)]) for c in y]
    return rows, torch.from_numpy(y)


def support_of(count: int, dim: int = 6, seed: int = 0) -> Support:
    rows, y = texts(count, seed)
    x = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))  # says nothing of the topic
    return Support(x, y, ngrams=count_ngrams(rows))


def test_a_text_has_the_same_ngrams_everywhere_and_none_is_lost_to_an_empty_one() -> None:
    found = count_ngrams(["fever", "", "fever"])
    assert found.shape == (3, BUCKETS)
    assert (found[0] != found[2]).nnz == 0
    assert found[1].nnz == 0
    assert found[0].sum() == 5 + 4 + 3  # of " fever ": 3-grams, 4-grams, 5-grams


def test_what_is_written_without_spaces_is_read_by_one_and_two_characters() -> None:
    found = count_ngrams(["今日は晴れますか", "今日 は 晴れ ます か"])
    assert found[0].sum() == 8 + 2 + 9  # of " 今日は晴れますか ", a space on either side: characters, pairs
    assert count_ngrams(["今日は晴れますか"])[0].multiply(count_ngrams(["明日は雨が降りますか"])[0]).nnz > 4
    assert (found[1] != count_ngrams(["今日 は 晴れ ます か"])[0]).nnz == 0


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_strength_of_words_is_the_one_whose_held_out_log_loss_is_lowest(monkeypatch, shuffled) -> None:
    support = support_of(160)
    if shuffled:  # labels that texts say nothing of
        support = replace(support, y=support.y[torch.randperm(160, generator=torch.Generator().manual_seed(0))])
    fold, losses = torch.arange(160) // 4 % 4, []
    for strengths in (words.STRENGTHS, *((each,) for each in words.STRENGTHS)):
        monkeypatch.setattr(words, "STRENGTHS", strengths)
        losses.append(float(F.cross_entropy(cross_fit_words(support, fold)[0], support.y)))
    assert losses[0] <= min(losses[1:]) + abs(losses[1] - losses[2]) / 2


def test_words_tell_apart_what_features_cannot() -> None:
    support, (rows, y) = support_of(120), texts(80, seed=1)
    classifier = Words(6).adapt(support)
    p = classifier.predict_proba(Examples(torch.zeros(80, 6), count_ngrams(rows)))
    assert (p.argmax(1) == y).float().mean() > 0.9
    assert torch.allclose(p.sum(1), torch.ones(80), atol=1e-5)


def test_the_solution_is_that_of_scikit_learn_on_the_same_vectors() -> None:
    rows, y = texts(40)
    new, _ = texts(20, seed=1)
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit(rows)
    kernel = (vectors.transform(rows) @ vectors.transform(rows).T).toarray()
    lower = np.linalg.cholesky(kernel + 1e-9 * np.eye(40))
    ((weight, bias),) = fit_path(torch.from_numpy(lower), y, 4, [10.0])
    theirs = LogisticRegression(C=10.0, max_iter=1000, tol=1e-6).fit(vectors.transform(rows), y.numpy())
    across = (vectors.transform(new) @ vectors.transform(rows).T).toarray()
    ours = torch.from_numpy(across @ np.linalg.solve(lower.T, weight.numpy().T)) + bias
    assert np.allclose(torch.softmax(ours, 1).numpy(), theirs.predict_proba(vectors.transform(new)), atol=0.02)


@pytest.mark.parametrize("count", [120, 780])  # few texts, and more than FEW
def test_held_out_logits_of_words_are_in_the_order_of_the_examples_that_have_a_fold(count) -> None:
    support = support_of(count)
    fold = torch.arange(count) // 4 % 4 - 1
    logits, fit = cross_fit_words(support, fold)
    assert logits.shape == (int((fold >= 0).sum()), 4)
    assert (logits.argmax(1) == support.y[fold >= 0]).float().mean() > 0.9
    rows, y = texts(80, seed=1)
    assert (fit().logits(Examples(torch.zeros(80, 6), count_ngrams(rows))).argmax(1) == y).float().mean() > 0.9


def test_products_of_texts_are_the_same_with_frequent_columns_in_a_dense_matrix() -> None:
    ngrams = tf_idf(count_ngrams(texts(50)[0]), np.ones(BUCKETS, np.float32))
    assert np.allclose(multiply(ngrams, ngrams[:20]), (ngrams @ ngrams[:20].T).toarray(), atol=1e-6)


def test_of_many_texts_some_are_read_and_those_held_out_are_among_them(monkeypatch) -> None:
    monkeypatch.setattr("learners.plain.words.MOST", 100)
    support, read = support_of(400), []
    monkeypatch.setattr("learners.plain.words.multiply", lambda a, b: read.append(a.shape[0]) or multiply(a, b))
    logits, _ = cross_fit_words(support, torch.where(torch.arange(400) % 9 == 0, 0, -1))
    assert read == [100 + len(logits)]


def test_what_was_tuned_on_a_support_set_is_not_tuned_again() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(90, 20, generator=generator), torch.arange(90) % 3
    support = Support(x + torch.eye(20)[y], y)
    tuned = TunedLogistic(20).tune(support)
    assert tuned.strength in STRENGTHS
    assert torch.equal(tuned.adapt(support).logits(x), TunedLogistic(20).adapt(support).logits(x))
    layered = OnLayers(TunedLogistic(20), LastLayer(20), 20).tune(support)
    assert isinstance(layered, OnLayers)
    assert layered.learner.strength == tuned.strength


@pytest.mark.parametrize("ways", [2, 5])
def test_a_path_of_strengths_is_that_of_single_fits(ways) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 6, generator=generator), torch.arange(200) % ways
    x = principal_coordinates(x + F.one_hot(y, 6))[0]
    for strength, (weight, bias) in zip((0.01, 1.0), fit_path(x, y, ways, (0.01, 1.0)), strict=True):
        theirs = LogisticRegression(C=strength, tol=1e-6, max_iter=1000).fit(x.numpy(), y.numpy())
        assert np.allclose(torch.softmax(x @ weight.T + bias, 1), theirs.predict_proba(x.numpy()), atol=0.02)


def test_a_model_of_words_is_kept_whole_and_refuses_features_alone(tmp_path) -> None:
    support, (rows, _) = support_of(24), texts(8, seed=2)
    words, plain = Words(6).adapt(support), Logistic(6).adapt(support)
    blend = Classifier((Blend((plain.with_temperature(2.0), words), (0.3, 0.7)),), tuple("abcd"), 1.5)
    blend = Classifier(blend.layers, blend.labels, 1.5, 0.2, torch.tensor([0.5, 0.0, -0.5, 0.0]))
    blend.save(tmp_path)
    again, examples = Classifier.load(tmp_path), Examples(support.x[:8], count_ngrams(rows))
    for one, other in ((blend, again), (blend.in_use(), again.in_use())):
        assert torch.equal(one.predict_proba(examples), other.predict_proba(examples))
    assert again.reads_ngrams
    with pytest.raises(ValueError, match="give it Examples"):
        again.predict_proba(examples.x)
    assert torch.allclose(blend.without_ngrams().logits(examples.x), plain.logits(examples.x) / 2.0, atol=1e-5)
    with pytest.raises(ValueError, match="n-grams alone"):
        Classifier((Blend((words,), (1.0,)),)).without_ngrams()


def test_in_use_a_shift_is_added_to_calibrated_logits() -> None:
    shift = torch.tensor([1.0, 0.0])
    model = Classifier((Affine(torch.eye(2), torch.zeros(2)),), ("a", "b"), 3.0, shift=shift)
    x = torch.tensor([[0.3, 0.6]])
    assert torch.allclose(model.in_use().predict_proba(x), torch.softmax(x / 3.0 + shift, 1))
    assert torch.equal(model.predict_proba(x), torch.softmax(x / 3.0, 1))


def test_the_portfolio_blends_words_in_as_far_as_held_out_examples_say() -> None:
    support, (rows, y) = support_of(120), texts(80, seed=3)
    choice = choose({"logistic": Logistic(6)}, support, Prior(), torch.Generator().manual_seed(0))
    (layer,) = choice.classifier.layers
    assert isinstance(layer, Blend)
    assert layer.weights[1] > 0
    p = choice.classifier.predict_proba(Examples(torch.zeros(80, 6), count_ngrams(rows)))
    assert (p.argmax(1) == y).float().mean() > 0.85
    named = choose({"logistic": Logistic(6)}, support, Prior(), torch.Generator().manual_seed(0), only="logistic")
    assert not named.classifier.reads_ngrams


def test_words_are_left_out_where_there_are_no_texts() -> None:
    support = Support(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2)
    assert "words of texts" in str(unable(Words(3), support))


def test_a_tuned_strength_is_below_that_of_separable_examples_where_labels_are_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(90, 20, generator=generator), torch.randint(3, (90,), generator=generator)
    noise = TunedLogistic(20).adapt(Support(x, y)).predict_proba(x)
    told = TunedLogistic(20).adapt(Support(x + 6 * torch.eye(20)[y], y)).predict_proba(x + 6 * torch.eye(20)[y])
    assert noise.max(1).values.mean() < told.max(1).values.mean()
    assert (told.argmax(1) == y).float().mean() > 0.95


def test_half_precision_is_enough_for_the_weights() -> None:
    support, (rows, _) = support_of(24), texts(8, seed=2)
    (layer,) = Words(6).adapt(support).layers
    assert isinstance(layer, NgramAffine)
    whole = NgramAffine(layer.idf.float(), layer.columns, layer.weight.float(), layer.bias)
    ngrams = count_ngrams(rows)
    assert torch.allclose(layer(ngrams), whole(ngrams), atol=1e-2)
