"""What a domain and an episode are, and where each built-in domain comes from."""
