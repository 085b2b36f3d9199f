"""Examples to vectors, kept by the content of each example."""
