"""Domains into ``data/``: the built-in ones and the user's own, and their checks."""
