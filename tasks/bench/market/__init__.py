"""The benchmark of market regimes."""
