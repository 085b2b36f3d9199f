"""Meta-training of policies that learn while they act."""
