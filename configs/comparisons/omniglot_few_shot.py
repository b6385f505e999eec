"""Few-shot Omniglot, 5 ways, 1 shot: all methods beside each other (Table 10, Fig. 14).

python -m launch.compare --set=configs/comparisons/omniglot_few_shot.py
"""

from ml_collections import ConfigDict

METHODS = ("maml", "sigma_maml", "imaml", "sigma_imaml", "reptile", "sigma_reptile")
METHODS += ("fomaml", "meta_sgd")


# What there is before the first meta-step: one of rate zero.
WARM_START_ALONE = {
    "config": "configs/omniglot_few_shot.py:quick_5w1s_imaml",
    "label": "warm start alone",
    "overrides": {
        "device.cpu_threads": 1,
        "meta_optimizer.phi.learning_rate": 1e-12,
        "train.steps": 1,
        "train.meta_batch_size": 1,
    },
}


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
            ]
            + [WARM_START_ALONE],
            "seeds": [0],
        }
    )
