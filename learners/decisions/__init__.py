"""Policies that learn while they act (RL2), and the plain strategies beside them."""
