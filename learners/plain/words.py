"""Logistic regression on the character n-grams of texts: no encoder, any language, the whole of a long text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn import functional as F

from learners.base import Learner
from learners.capabilities import Capabilities
from learners.classifier import Classifier, NgramAffine, tf_idf
from learners.folds import hold_out, sample_rows, stratified_folds
from learners.plain.softmax_regression import fit_path
from learners.support import Support
from learners.temperature import best_temperature, doubt_of

STRENGTHS = (10.0, 100.0)  # C, of vectors of unit length
RIDGE = 1.0  # of least squares
FEW = 700  # examples, beyond which least squares are fitted too
MANY = 5000  # examples, beyond which logistic regression is not
LANDMARKS = 1500  # examples in whose span the solution is looked for: all, where there are no more
MOST = 20_000  # examples that are fitted
SMALLEST = 1e-4  # variance along an axis, below which it is left out, as texts may come twice
FREQUENT = 1 / 8  # of the landmarks have an n-gram whose products are faster in a dense matrix
ROWS = 2000  # texts that are compared with the landmarks at once


class Words(Learner):
    """Linear scores of t, the TF-IDF vector of a text at unit length: of up to MANY texts logistic regression,

    min_W  sum_i CE(W t_i + b, y_i) + |W|^2 / (2 C),

    with the C of STRENGTHS whose held-out log-loss is lowest, of more than FEW least squares, whose time hardly grows
    with the number of labels N,

    min_W  sum_i |W t_i - pi^(-1/4) (e_{y_i} - pi)|^2 + RIDGE |W|^2,  pi the shares of the classes,

    and in between the mean of both, each at its held-out temperature. Blended with features, least squares are better
    on many texts, and worse on few or short ones; they do not depend much on their strength. The scale of the labels is
    halfway to one variance for all of them, which optimal scoring has.
    Inverse document frequencies are taken over the support and the pool. The solution lies in the span of the examples
    (representer theorem). Of more than LANDMARKS examples, some span it.

    T. Hastie, R. Tibshirani, A. Buja. Flexible discriminant analysis by optimal scoring. Journal of the American
    Statistical Association 89, 1994. https://doi.org/10.1080/01621459.1994.10476866
    C. Williams and M. Seeger. Using the Nyström method to speed up kernel machines. NIPS 2000.
    https://papers.nips.cc/paper/1866
    """

    name = "words"
    capabilities = Capabilities(meta_trained=False, examples="features", needs_ngrams=True)

    def adapt(self, support: Support) -> Classifier:
        """Return the classifier of a support set, which reads ``Examples``."""
        self.check(support)
        return cross_fit_words(support, stratified_folds(support.y, torch.Generator().manual_seed(0)))[1]()


@dataclass(frozen=True)
class Coordinates:
    """Texts on the principal axes of the landmarks' kernel: products of coordinates are those of TF-IDF vectors.

    Attributes:
        x: [n, r] the coordinates; idf: [V] inverse document frequencies.
        landmarks: [m, V] TF-IDF vectors; to: [m, r] from products with these to coordinates.
    """

    x: Tensor
    idf: np.ndarray
    landmarks: csr_matrix
    to: Tensor

    @classmethod
    def of(cls, ngrams: csr_matrix, idf: np.ndarray) -> "Coordinates":
        """Return the coordinates of texts with counts [n, V], in an order by chance: the first ones are landmarks."""
        texts = tf_idf(ngrams, idf)
        landmarks = texts[:LANDMARKS]
        kernel = torch.from_numpy(multiply(texts, landmarks))
        values, vectors = torch.linalg.eigh(kernel[: landmarks.shape[0]])
        there = values > SMALLEST
        to = vectors[:, there] * values[there].rsqrt()
        return cls(kernel @ to, idf, landmarks, to)

    def classifier(self, weight: Tensor, bias: Tensor) -> Classifier:
        """Return the classifier of n-grams, given the weight [N, r] and bias [N] of coordinates."""
        columns = np.unique(self.landmarks.indices)
        own = torch.from_numpy(self.landmarks[:, columns].T @ (self.to @ weight.T).numpy())
        return Classifier(
            (NgramAffine(torch.from_numpy(self.idf).half(), torch.from_numpy(columns), own.half(), bias),)
        )


def cross_fit_words(support: Support, fold: Tensor | None) -> tuple[Tensor, Callable[[], Classifier]]:
    """Return held-out logits [H, N] of the H examples that have a fold, and what fits words to the support set.

    The folds share one kernel. Of more than MOST examples, those held out and some others are read.

    Args:
        support: labels 0..N-1 that all have an example.
        fold: [S], -1 being none; None: nothing is held out.
    """
    assert support.ngrams is not None
    fold = torch.full_like(support.y, -1) if fold is None else fold
    draw, out, rest = torch.Generator().manual_seed(0), (fold >= 0).nonzero()[:, 0], (fold < 0).nonzero()[:, 0]
    rows = torch.cat([out, rest[sample_rows(support.y[rest], MOST, draw)]])
    rows = rows[torch.randperm(len(rows), generator=draw)]  # the first ones are landmarks
    texts = Coordinates.of(support.ngrams[rows.numpy()], document_frequencies(support.ngrams, support.pool_ngrams))
    y, fold = support.y[rows], fold[rows]

    def solve(x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
        models = fit_path(x, y, support.ways, strengths) if len(rows) <= MANY else []
        return [*models, fit_least_squares(x, y, support.ways)] if len(rows) > FEW else models

    strengths = list(STRENGTHS)
    logits, y_out = hold_out(solve, texts.x, y, fold), y[fold >= 0]
    heats = [best_temperature([z], [y_out], doubt=doubt_of(len(y_out))) for z in logits]
    if len(rows) <= MANY:
        losses = [float(F.cross_entropy(z / t, y_out)) for z, t in zip(logits, heats, strict=True)][: len(STRENGTHS)]
        best = losses.index(min(losses)) if losses else 0
        strengths = [STRENGTHS[best]]
        kept = [i for i in range(len(logits)) if i in (best, len(STRENGTHS))]
        logits, heats = [logits[i] for i in kept], [heats[i] for i in kept]

    def fit() -> Classifier:
        weights, biases = zip(*solve(texts.x, y), strict=True)
        at = heats or [1.0] * len(weights)
        return texts.classifier(mean_at(weights, at), mean_at(biases, at))

    held_out = mean_at(logits, heats) if logits else texts.x.new_zeros(0, support.ways)
    return held_out[rows[fold >= 0].argsort()], fit


def mean_at(values: Sequence[Tensor], temperatures: Sequence[float]) -> Tensor:
    """Return the mean of the logits or weights of several models, each over its temperature."""
    return torch.stack([value / t for value, t in zip(values, temperatures, strict=True)]).mean(0)


def fit_least_squares(x: Tensor, y: Tensor, ways: int) -> tuple[Tensor, Tensor]:
    """Return weight [N, r] and bias [N] of least squares on coordinates [n, r] and labels [n]; see ``Words``."""
    shares = torch.bincount(y, minlength=ways).to(x.dtype) / len(y)
    sums = x.new_zeros(ways, x.shape[1]).index_add(0, y, x) - torch.outer(shares, x.sum(0))
    gram = x.T @ x + RIDGE * torch.eye(x.shape[1])
    weight = torch.cholesky_solve(sums.T, torch.linalg.cholesky(gram)).T / shares[:, None] ** 0.25
    return weight, x.new_zeros(ways)


def multiply(texts: csr_matrix, others: csr_matrix) -> np.ndarray:
    """Return the products [n, m] of texts [n, V] and others [m, V]; the columns that many of these have are made dense.

    A sparse product takes time as the square of a column's entries, of which a long text's are many.
    """
    frequent = np.bincount(others.indices, minlength=others.shape[1]) > FREQUENT * others.shape[0]
    dense, rare = others[:, frequent].toarray().T, others[:, ~frequent].T.tocsr()
    parts = [texts[i : i + ROWS] for i in range(0, texts.shape[0], ROWS)]
    return np.concatenate(
        [(part[:, ~frequent] @ rare).toarray() + part[:, frequent].toarray() @ dense for part in parts]
    )


def document_frequencies(ngrams: csr_matrix, pool: csr_matrix | None = None) -> np.ndarray:
    """Return the inverse document frequencies [V], log((1 + n) / (1 + n_v)) + 1, of support and pool."""
    every = [ngrams] if pool is None else [ngrams, pool]
    size = sum(each.shape[0] for each in every)
    seen = sum(np.bincount(each.indices, minlength=each.shape[1]) for each in every)
    return (np.log((1 + size) / (1 + seen)) + 1).astype(np.float32)
