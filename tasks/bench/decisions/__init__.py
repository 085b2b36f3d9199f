"""The benchmark of sequential decisions."""
