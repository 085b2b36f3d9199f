"""The benchmark of how accuracy grows with labels."""
