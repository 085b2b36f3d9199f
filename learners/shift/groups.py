"""Groups of examples that belong together though no label says so, and the words that tell them from the rest."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor

FEWEST = 5  # examples of a group
WORDS = 3  # that tell a group
FREQUENT = 0.2  # of a group's texts hold such a word


def find_groups(x: Tensor, labelled: Tensor, y: Tensor) -> list[list[int]]:
    """Return the rows of each group of examples [n, D], those nearest to its centre first; the largest group first.

    Agglomerative clustering by the mean cosine distance, up to the median distance between two examples [S, D] of one
    label [S]: a group is as wide as a class. Groups of fewer than FEWEST are left out.

    Args:
        x, labelled: at unit length, or several encoders side by side each at unit length.
    """
    if len(x) < FEWEST:
        return []
    from sklearn.cluster import AgglomerativeClustering

    u, known = (torch.nn.functional.normalize(each - labelled.mean(0), dim=1) for each in (x, labelled))
    reach = _width(known, y)
    clusters = AgglomerativeClustering(n_clusters=None, metric="cosine", linkage="average", distance_threshold=reach)
    of = torch.from_numpy(clusters.fit_predict(u.double().numpy()))
    groups = []
    for number in range(int(of.max()) + 1):
        rows = (of == number).nonzero()[:, 0]
        if len(rows) >= FEWEST:
            nearness = u[rows] @ u[rows].mean(0)
            groups.append(rows[nearness.argsort(descending=True, stable=True)].tolist())
    return sorted(groups, key=len, reverse=True)


def _width(u: Tensor, y: Tensor) -> float:
    """Return the median cosine distance between two unit vectors [S, D] of one label [S]; 0.5 where there are none."""
    pairs = []
    for label in y.unique():
        own = u[y == label][:200]
        i, j = torch.triu_indices(len(own), len(own), 1)
        pairs.append(1 - (own[i] * own[j]).sum(1))
    every = torch.cat(pairs)
    return float(every.median().clamp_min(1e-6)) if len(every) else 0.5


def telling_words(group: Sequence[str], rest: Sequence[str]) -> list[str]:
    """Return the words and pairs of words that tell the texts of a group from the rest, the most telling first.

    Of those in a fifth of the group's texts at least, they are the ones with the highest log-odds,

        logit((n_a + 1/2) / (A + 1)) - logit((n_b + 1/2) / (B + 1)),    n_a of A texts of the group, n_b of B others

    (B. L. Monroe, M. P. Colaresi and K. M. Quinn. Fightin' words. Political Analysis 16, 2008.
    https://doi.org/10.1093/pan/mpn018). Two that share a word are not both named.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    read = CountVectorizer(ngram_range=(1, 2), binary=True, token_pattern=r"(?u)\b\w+\b", min_df=2)
    try:
        counts = read.fit_transform([*group, *rest])
    except ValueError:  # no word twice
        return []
    inside = np.asarray(counts[: len(group)].sum(0)).ravel()
    without = np.asarray(counts[len(group) :].sum(0)).ravel()
    shares = [(n + 0.5) / (size + 1) for n, size in ((inside, len(group)), (without, len(rest)))]
    odds, names, chosen = logit(shares[0]) - logit(shares[1]), read.get_feature_names_out(), list[str]()
    for place in np.argsort(-odds, kind="stable"):
        if odds[place] <= 0 or len(chosen) == WORDS:
            break
        words = set(names[place].split())
        if inside[place] >= FREQUENT * len(group) and not any(words & set(other.split()) for other in chosen):
            chosen.append(str(names[place]))
    return chosen
