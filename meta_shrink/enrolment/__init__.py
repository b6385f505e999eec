"""A new task's adapter, by an exported backbone alone."""
