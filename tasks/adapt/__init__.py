"""A target domain to a challenger, the gate, and what people see of it."""
