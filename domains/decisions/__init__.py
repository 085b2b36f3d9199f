"""Problems of decisions in sequence, as trials behind Gymnasium's vector interface."""

FAMILY = "decisions"  # what models of them are registered as; no domain is of it
