"""What a learner declares about itself, so that nobody has to try it to find out."""

from dataclasses import dataclass
from typing import Literal

from learners.support import Support


@dataclass(frozen=True)
class Capabilities:
    """What a learner can adapt to, and what it reads.

    Attributes:
        meta_trained: it learns from episodes of other domains; False for the plain baselines.
        examples: it reads the feature vectors of a frozen encoder, raw examples with a body of its own, or either.
        fixed_ways: it is for labels that mean the same in every domain, whose number it is made for.
        needs_pool: it adapts to nothing without unlabelled examples.
        needs_ngrams: it reads the character n-grams of texts.
        reads_names: the names of the labels change what it gives.
        regression: the labels may be numbers [S, N].
        most_classes: the largest number of classes N; None: any.
        most_examples: the largest number of examples S, where time and memory grow as S^2; None: any.
        most_products: the largest N S^2, which memory bounds where every class has an S x S system; None: any.
        scaled_loss: its meta-loss is that at the temperature that suits the episode, as a later fit will be.
    """

    meta_trained: bool = True
    examples: Literal["features", "raw", "either"] = "either"
    fixed_ways: bool = False
    needs_pool: bool = False
    needs_ngrams: bool = False
    reads_names: bool = False
    regression: bool = False
    most_classes: int | None = None
    most_examples: int | None = None
    most_products: int | None = None
    scaled_loss: bool = False

    def missing(self, support: Support, ways: int | None = None) -> str | None:
        """Return in a line what keeps a learner from a support set, however good its examples are; None: nothing.

        Args:
            ways: the number of labels that the learner was made for, or None.
        """
        size, targets = len(support.y), support.y.is_floating_point()
        classes = ways or (1 if targets else len(support.y.unique()))
        if targets and not self.regression:
            return "it tells classes apart, and the labels are numbers"
        if self.needs_pool and (support.pool_x is None or not len(support.pool_x)):
            return "it needs unlabelled examples, and there is no pool"
        if self.needs_ngrams and support.ngrams is None:
            return "it reads the words of texts, and these examples are none"
        if ways is not None and support.ways > ways:
            return f"it was made for {ways} labels, and there are {support.ways}"
        if self.most_classes is not None and classes > self.most_classes:
            return f"it tells at most {self.most_classes} classes apart, and there are {classes}"
        if self.most_examples is not None and size > self.most_examples:
            return f"it adapts to at most {self.most_examples:,} examples, and there are {size:,}"
        if self.most_products is not None and classes * size**2 > self.most_products:
            return (
                f"{classes} classes and {size} examples make N S^2 = {classes * size**2:,}, "
                f"and its solver has room for {self.most_products:,}"
            )
        return None
