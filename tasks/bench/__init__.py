"""Benchmarks: a suite a module that answers with rows, and the page that is made of them."""
