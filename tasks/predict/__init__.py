"""Files of the project predicted in batches, each once by each champion, and kept for a look at drift."""
