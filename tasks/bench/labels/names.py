"""What rows of the benchmark over the number of labels call their methods, frequencies and pools."""

OURS, FLOOR = "acclimate", "tuned_logistic"
METHODS = (OURS, FLOOR, "logistic", "words")
EVEN, NATURAL, NONE = "even", "natural", "none"
FREQUENCIES = (EVEN, NATURAL)  # of the labels
ABOVE_FLOOR = "accuracy above tuned logistic regression"
POOLS = (EVEN, NATURAL, NONE)
