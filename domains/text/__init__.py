"""Built-in text domains, one source a file."""
