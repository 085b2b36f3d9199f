"""How to adapt: the portfolio, and probabilities that can be believed."""
