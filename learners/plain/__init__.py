"""Baselines: what one would do without other domains."""
