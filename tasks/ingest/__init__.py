"""Domains into ``data/``: built-in ones and the user's own, with their checks."""
