"""Texts to counts of hashed character n-grams: what a text says by its words, in any language, at any length.

K. Weinberger et al. Feature hashing for large scale multitask learning. ICML 2009. https://arxiv.org/abs/0902.2206
"""

import re
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

BUCKETS = 2**18
SIZES = (3, 5)  # shortest and longest n-gram, within words
SIZES_OF_UNSPACED = (1, 2)
#: Chinese and Japanese without spaces, where a word has one or two characters: such a run is longer than a word.
UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]{6,}")
LONGEST = 20_000  # characters of a text that are read


def count_ngrams(texts: Sequence[str]) -> csr_matrix:
    """Return counts [n, BUCKETS] of the n-grams of texts; the same text gives the same counts everywhere."""
    read = [text[:LONGEST] for text in texts]
    runs = [" ".join(UNSPACED.findall(text)) for text in read]
    if not any(runs):
        return _count(read, SIZES)
    return _count([UNSPACED.sub(" ", text) for text in read], SIZES) + _count(runs, SIZES_OF_UNSPACED)


def _count(texts: Sequence[str], sizes: tuple[int, int]) -> csr_matrix:
    """Return counts [n, BUCKETS] of the n-grams of these sizes."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=sizes, n_features=BUCKETS, alternate_sign=False, norm=None, dtype=np.float32
    )
    return vectorizer.transform(texts)
