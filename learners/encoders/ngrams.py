"""Texts to counts of hashed character n-grams: what a text says by its words, in any language, at any length.

K. Weinberger et al. Feature hashing for large scale multitask learning. ICML 2009. https://arxiv.org/abs/0902.2206
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

BUCKETS = 2**18
SIZES = (3, 5)  # shortest and longest n-gram, within words
LONGEST = 20_000  # characters of a text that are read


def count_ngrams(texts: Sequence[str]) -> csr_matrix:
    """Return counts [n, BUCKETS] of the n-grams of texts; the same text gives the same counts everywhere."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=SIZES, n_features=BUCKETS, alternate_sign=False, norm=None, dtype=np.float32
    )
    return vectorizer.transform([text[:LONGEST] for text in texts])
