"""Photographs of groceries, 5 ways, 1 shot: all methods beside each other (as Table 10, Fig. 15).

python -m launch.compare --set=configs/comparisons/grocery84.py
"""

from configs.comparisons.image_set import SHORT, image_set


def get_config():
    """The set."""
    return image_set("grocery84", "configs/image_folder_few_shot.py:quick_grocery84_5w1s_", SHORT)
