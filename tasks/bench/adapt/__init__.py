"""The benchmark of adaptation, and of suggested labels."""
