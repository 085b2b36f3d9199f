"""Meta-learners, one a file."""
