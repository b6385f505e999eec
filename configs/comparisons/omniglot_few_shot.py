"""Few-shot Omniglot, 5 ways, 1 shot: all methods beside each other (Table 10, Fig. 14).

python -m launch.compare --set=configs/comparisons/omniglot_few_shot.py
"""

from ml_collections import ConfigDict

METHODS = ("maml", "sigma_maml", "imaml", "sigma_imaml", "reptile", "sigma_reptile")
METHODS += ("fomaml", "meta_sgd")


def get_config():
    """The set: one thread a run, as many runs at once as there are cores."""
    return ConfigDict(
        {
            "name": "omniglot_few_shot",
            "runs": [
                {
                    "config": f"configs/omniglot_few_shot.py:quick_5w1s_{name}",
                    "label": name,
                    "overrides": {"device.cpu_threads": 1},
                }
                for name in METHODS
            ],
            "seeds": [0],
        }
    )
