"""Beside published figures of few-shot text classification."""
