"""What a task looks like before a learner adapts to it."""
