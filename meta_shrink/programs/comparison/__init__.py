"""Methods beside each other: what is declared, its runs, their processes."""
