"""How examples, labels and domains differ from each other."""
