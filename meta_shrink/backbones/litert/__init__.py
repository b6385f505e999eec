"""The backbone for devices: LiteRT models of the same functions."""
