"""Augmented Omniglot, 30 alphabets: Reptile and iMAML with and without shrinkage (Table 2, Fig. 2).

python -m launch.compare --set=configs/comparisons/omniglot_large.py
"""

from ml_collections import ConfigDict

METHODS = ("reptile", "sigma_reptile", "imaml", "sigma_imaml")


# What there is before the first meta-step: one of rate zero.
WARM_START_ALONE = {
    "config": "configs/omniglot_alphabets.py:quick_large_imaml",
    "label": "warm start alone",
    "overrides": {
        "device.cpu_threads": 1,
        "meta_optimizer.phi.learning_rate": 1e-12,
        "train.steps": 1,
        "train.meta_batch_size": 1,
    },
}


def get_config():
    """The set: one thread a run; the first seed also adapts single layers."""
    return ConfigDict(
        {
            "name": "omniglot_large",
            "runs": [
                {
                    "config": f"configs/omniglot_alphabets.py:quick_large_{name}",
                    "label": name,
                    "overrides": {"device.cpu_threads": 1},
                }
                for name in METHODS
            ]
            + [WARM_START_ALONE],
            "seeds": [0, 1, 2],
            "evaluate": {"horizon": 1},
            "evaluate_others": {"horizon": 1, "kinds": ["all", "selected"]},
        }
    )
