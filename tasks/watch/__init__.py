"""From new data to runs asked for: the ledger, and what dead processes left behind."""
