"""What a federation of sites keeps of what pooled domains would gain."""
