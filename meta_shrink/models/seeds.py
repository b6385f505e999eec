"""Seeds of the layers of a network."""

from __future__ import annotations

APART = 1009  # More than the layers of any of our networks.


def first_seed(seed: int) -> int:
    """The seed of a network's first layer; the next ones have the numbers behind it.

    Networks of neighbouring seeds share none: with seed + number, each layer of one had the random
    numbers of the layer before in the next. Seed 0 gives 0.
    """
    return seed * APART % 2**31
