"""Augmented Omniglot, 15 alphabets, 1 image a character, from random parameters (Fig. 4).

python -m launch.compare --set=configs/comparisons/omniglot_small_scratch.py
"""

from typing import Any

from configs.comparisons.image_set import LONG, ONE_THREAD, image_set

CONFIG = "configs/omniglot_alphabets.py:scratch_small_a15_k1_"
# What is left between Reptile and sigma-Reptile is the prior, and phi's gradient over sigma^2.
SAME_OPTIMIZERS = {
    "adapt.optimizer": "proximal_gd",
    "adapt.learning_rate": 0.1,
    "meta_optimizer.phi.name": "adam",
    "meta_optimizer.phi.learning_rate": 3e-3,
}


def get_config():
    """The set: Table 5's optimizers, and Reptile with those of sigma-Reptile."""
    comparison: Any = image_set(
        "omniglot_small_scratch",
        CONFIG,
        LONG,
        seeds=[0, 1, 2],
        start="random parameters alone",
        evaluate={"horizon": 1, "kinds": ["all", "selected"]},
    )
    control = {
        "config": f"{CONFIG}reptile",
        "label": "reptile like sigma",
        "overrides": {**ONE_THREAD, **SAME_OPTIMIZERS},
    }
    comparison.runs = [*comparison.runs, control]
    return comparison
