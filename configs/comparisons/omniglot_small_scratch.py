"""Augmented Omniglot, 15 alphabets, 1 image a character, from random parameters (Fig. 4).

python -m launch.compare --set=configs/comparisons/omniglot_small_scratch.py
"""

from typing import Any

from configs.comparisons.image_set import LONG, ONE_THREAD, image_set
from configs.omniglot_alphabets import SCRATCH_SMALL

CONFIG = "configs/omniglot_alphabets.py:scratch_small_a15_k1_"
# What is left between Reptile and sigma-Reptile is the prior, and phi's gradient over sigma^2.
SIGMA_REPTILE = SCRATCH_SMALL["sigma_reptile"]
SAME_OPTIMIZERS = {
    "adapt.optimizer": SIGMA_REPTILE.task_optimizer,
    "adapt.learning_rate": SIGMA_REPTILE.task_rate,
    "meta_optimizer.phi.name": SIGMA_REPTILE.meta_optimizer,
    "meta_optimizer.phi.learning_rate": SIGMA_REPTILE.rates[0],
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
