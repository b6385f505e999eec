"""Photographs of groceries, 5 ways, 1 shot: all methods beside each other (as Table 10, Fig. 15).

python -m launch.compare --set=configs/comparisons/grocery84.py
"""

from ml_collections import ConfigDict

METHODS = ("maml", "sigma_maml", "imaml", "sigma_imaml", "reptile", "sigma_reptile")
METHODS += ("fomaml", "meta_sgd")


def get_config():
    """The set: one thread a run."""
    return ConfigDict(
        {
            "name": "grocery84",
            "runs": [
                {
                    "config": f"configs/image_folder_few_shot.py:quick_grocery84_5w1s_{name}",
                    "label": name,
                    "overrides": {"device.cpu_threads": 1},
                }
                for name in METHODS
            ],
            "seeds": [0],
        }
    )
