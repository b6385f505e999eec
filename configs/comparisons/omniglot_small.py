"""Augmented Omniglot, 15 alphabets, 1 image a character: is there less overfitting? (Fig. 4)

python -m launch.compare --set=configs/comparisons/omniglot_small.py
"""

from ml_collections import ConfigDict

METHODS = ("reptile", "sigma_reptile", "imaml", "sigma_imaml")


def get_config():
    """The set: one thread a run."""
    return ConfigDict(
        {
            "name": "omniglot_small",
            "runs": [
                {
                    "config": f"configs/omniglot_alphabets.py:quick_small_a15_k1_{name}",
                    "label": name,
                    "overrides": {"device.cpu_threads": 1},
                }
                for name in METHODS
            ],
            "seeds": [0, 1, 2],
            "evaluate": {"horizon": 1, "kinds": ["all", "selected"]},
        }
    )
