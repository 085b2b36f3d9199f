"""Several annotators of one example: how far they agree, and what most of them say."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

from domains.words import quantity

Vote = tuple[str, ...]


class Panel:
    """Settles examples by majority, and remembers what annotators said of those that several saw.

    Attributes:
        units: the votes for each example of several.
        ties: how many of them have no majority.
    """

    def __init__(self) -> None:
        self.units: list[Sequence[Vote]] = []
        self.ties = 0

    def settle(self, votes: Mapping[str, Vote]) -> Vote:
        """Return what most annotators say of an example; nothing where there is a tie.

        Args:
            votes: the labels that each annotator gave; () is a vote for no label.
        """
        if len(votes) < 2:
            return next(iter(votes.values()), ())
        self.units.append(list(votes.values()))
        (best, most), *others = Counter(tuple(sorted(vote)) for vote in votes.values()).most_common(2)
        if others and others[0][1] == most:
            self.ties += 1
            return ()
        return best

    def lines(self) -> list[str]:
        """Return a line about agreement, if several annotators saw one example."""
        if not self.units:
            return []
        alpha = krippendorff_alpha(self.units)
        said = "" if alpha is None else f", Krippendorff's alpha {alpha:.2f}"
        ties = f"; {quantity(self.ties, 'tie')} without a label" if self.ties else ""
        return [
            f"{quantity(len(self.units), 'example')} of several annotators: {pair_agreement(self.units):.0%} of their "
            f"pairs agree{said}; the majority is used{ties}"
        ]


def pair_agreement(units: Sequence[Sequence[Vote]]) -> float:
    """Return the share of pairs of annotators that say the same, over all pairs of all examples."""
    pairs = [set(a) == set(b) for votes in units for a, b in combinations(votes, 2)]
    return sum(pairs) / len(pairs)


def krippendorff_alpha(units: Sequence[Sequence[Vote]]) -> float | None:
    """Return Krippendorff's alpha for nominal values, 1 - D_o / D_e; None where all say the same of all.

    ``D_o`` is the disagreement of pairs within examples, each of m votes weighted by 1 / (m - 1), and ``D_e`` that of
    pairs of any two votes. Krippendorff, Content Analysis, 2004, chapter 11.
    """
    values = [[tuple(sorted(vote)) for vote in votes] for votes in units]
    total = Counter(vote for votes in values for vote in votes)
    n = total.total()
    expected = n * n - sum(count * count for count in total.values())
    if not expected:
        return None
    observed = 0.0
    for votes in values:
        counts, m = Counter(votes), len(votes)
        observed += (m * m - sum(count * count for count in counts.values())) / (m - 1)
    return 1 - (n - 1) * observed / expected
