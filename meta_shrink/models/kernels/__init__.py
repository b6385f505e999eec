"""Second derivatives, right and fast: what the layers compute with."""
