"""Logistic regression on the character n-grams of texts: no encoder, any language, the whole of a long text."""

import numpy as np
import torch
from scipy.linalg import cho_factor, solve_triangular
from scipy.sparse import csr_matrix

from learners.base import Learner
from learners.capabilities import Capabilities
from learners.classifier import Classifier, NgramAffine, tf_idf
from learners.plain.tuned_logistic import best_strength, fit_logistic
from learners.support import Support

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)  # C, of vectors of unit length
LANDMARKS = 3000  # examples in whose span the solution is looked for: all, where there are no more
MOST_TO_TUNE = 1500
JITTER = 1e-4  # added to the diagonal of the kernel, as texts may come twice


class Words(Learner):
    """min_W  sum_i CE(W t_i + b, y_i) + |W|^2 / (2 C), with t the TF-IDF vector of a text at unit length.

    Inverse document frequencies are taken over the support and the pool. The solution lies in the span of the
    examples (representer theorem), so that it is found from the kernel K = T T^T = L L^T with the rows of L as
    features. Of more than LANDMARKS examples, some span it: C. Williams and M. Seeger. Using the Nyström method to
    speed up kernel machines. NIPS 2000. https://papers.nips.cc/paper/1866
    """

    name = "words"
    capabilities = Capabilities(meta_trained=False, examples="features", needs_ngrams=True)

    def adapt(self, support: Support) -> Classifier:
        """Return the classifier of a support set, which reads ``Examples``."""
        ways, ngrams = self.check(support), support.ngrams
        assert ngrams is not None
        y, idf = support.y.numpy(), document_frequencies(ngrams, support.pool_ngrams)
        order = np.random.default_rng(0).permutation(len(y))
        texts, y = tf_idf(ngrams, idf)[order], y[order]
        landmarks = texts[:LANDMARKS]
        lower = cho_factor((landmarks @ landmarks.T).toarray() + JITTER * np.eye(landmarks.shape[0]), lower=True)[0]
        lower = np.tril(lower)
        few = min(len(y), MOST_TO_TUNE)
        strength = best_strength(np.ascontiguousarray(lower[:few, :few]), y[:few], STRENGTHS)
        x = lower
        if len(y) > LANDMARKS:
            rest = (texts[LANDMARKS:] @ landmarks.T).toarray()
            x = np.concatenate([lower, solve_triangular(lower, rest.T, lower=True).T])
        weight, bias = fit_logistic(x, y, strength, ways)
        alpha = solve_triangular(lower, weight.double().numpy().T, lower=True, trans="T")
        columns = np.unique(landmarks.indices)
        own = landmarks[:, columns].T @ alpha
        return Classifier(
            (NgramAffine(torch.from_numpy(idf).half(), torch.from_numpy(columns), torch.from_numpy(own).half(), bias),)
        )


def document_frequencies(ngrams: csr_matrix, pool: csr_matrix | None = None) -> np.ndarray:
    """Return the inverse document frequencies [V], log((1 + n) / (1 + n_v)) + 1, of support and pool."""
    every = [ngrams] if pool is None else [ngrams, pool]
    size = sum(each.shape[0] for each in every)
    seen = sum(np.bincount(each.indices, minlength=each.shape[1]) for each in every)
    return (np.log((1 + size) / (1 + seen)) + 1).astype(np.float32)
