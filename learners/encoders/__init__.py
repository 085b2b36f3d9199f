"""Pretrained bodies that turn examples into vectors."""
