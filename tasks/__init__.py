"""Prefect tasks and the effects behind them, one concern a file."""
