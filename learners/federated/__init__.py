"""Meta-training by several sites that keep their examples: what travels, and what it is checked for."""
