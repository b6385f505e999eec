"""Augmented Omniglot, 30 alphabets: with and without shrinkage (Table 2, Fig. 2).

python -m launch.compare --set=configs/comparisons/omniglot_large.py
"""

from configs.comparisons.image_set import LONG, image_set


def get_config():
    """The set."""
    return image_set(
        "omniglot_large",
        "configs/omniglot_alphabets.py:quick_large_",
        LONG,
        seeds=[0, 1, 2],
        evaluate={"horizon": 1},
        # The first seed alone also adapts single layers.
        evaluate_others={"horizon": 1, "kinds": ["all", "selected"]},
    )
