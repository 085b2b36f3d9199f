"""Learners and measures of market states, whose labels mean the same everywhere."""
