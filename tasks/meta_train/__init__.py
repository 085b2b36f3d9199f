"""Source domains to a meta-model of a family."""
