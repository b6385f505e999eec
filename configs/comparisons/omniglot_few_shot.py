"""Few-shot Omniglot, 5 ways, 1 shot: all methods beside each other (Table 10, Fig. 14).

python -m launch.compare --set=configs/comparisons/omniglot_few_shot.py
"""

from configs.comparisons.image_set import SHORT, image_set


def get_config():
    """The set."""
    return image_set("omniglot_few_shot", "configs/omniglot_few_shot.py:quick_5w1s_", SHORT)
