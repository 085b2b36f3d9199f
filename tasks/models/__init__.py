"""Registered models: the registry, prediction, promotion and lineage."""
