"""Built-in image domains, one source a file."""
