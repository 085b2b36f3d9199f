"""Bodies with a head, and gradient descent on both: what methods and baselines share."""
