"""The benchmark of drift."""
