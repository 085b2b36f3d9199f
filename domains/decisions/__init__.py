"""Sequential decisions: environments whose trials are drawn from a distribution, all trials of a batch at once."""

#: The family's name. It has no domains on disk: its trials are made while a policy plays.
DECISIONS = "decisions"
