"""What is needed no more: found, and deleted so that a process killed at any moment leaves nothing half there."""
