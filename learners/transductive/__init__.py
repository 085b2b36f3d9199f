"""Published ways to adapt to a support set and its unlabelled pool; what they learn is applied to any other example."""
