"""Augmented Omniglot, 15 alphabets, 1 image a character, from random parameters (Fig. 4).

python -m launch.compare --set=configs/comparisons/omniglot_small_scratch.py
"""

from configs.comparisons.image_set import LONG, image_set


def get_config():
    """The set."""
    return image_set(
        "omniglot_small_scratch",
        "configs/omniglot_alphabets.py:scratch_small_a15_k1_",
        LONG,
        seeds=[0, 1, 2],
        start="random parameters alone",
        evaluate={"horizon": 1, "kinds": ["all", "selected"]},
    )
