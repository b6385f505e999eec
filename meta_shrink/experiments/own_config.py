"""Settings to start from for a user's own model and tasks, by algorithm.

They expect inputs, and targets that are numbers, scaled to about mean 0 and variance 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meta_shrink.experiments.defaults import default_config
from meta_shrink.sections import choose

Settings = Mapping[str, Mapping[str, Any]]


def _adam(learning_rate: float) -> dict[str, Any]:
    return {"name": "adam", "learning_rate": learning_rate, "decay": "linear"}


_PHI, _SIGMA2 = {"phi": _adam(1e-3)}, {"log_sigma2": _adam(1e-2)}
_SHORT = {"optimizer": "proximal_gd", "learning_rate": 0.05, "steps": 10}
_LONG = {"optimizer": "proximal_adam", "learning_rate": 0.01, "steps": 50}
_PRIOR = {"sigma2": 1.0}
_IMPLICIT = {"cg_steps": 5, "damping": 0.1}

ALGORITHMS: dict[str, Settings] = {
    "sigma_maml": {
        "algorithm": {"name": "maml"},
        "adapt": _SHORT,
        "prior": _PRIOR,
        "meta_optimizer": {**_PHI, **_SIGMA2},
    },
    "sigma_imaml": {
        "algorithm": {"name": "imaml", **_IMPLICIT},
        "adapt": _LONG,
        "prior": _PRIOR,
        "meta_optimizer": {**_PHI, **_SIGMA2},
    },
    "sigma_reptile": {
        "algorithm": {"name": "sigma_reptile", **_IMPLICIT},
        "adapt": _LONG,
        "prior": _PRIOR,
        "meta_optimizer": {**_PHI, **_SIGMA2},
    },
    "maml": {"algorithm": {"name": "maml"}, "adapt": _SHORT, "meta_optimizer": _PHI},
    "meta_sgd": {
        "algorithm": {"name": "maml"},
        "adapt": _SHORT,
        "meta_optimizer": {**_PHI, "log_alpha": _adam(1e-2)},
    },
    "fomaml": {"algorithm": {"name": "fomaml"}, "adapt": _SHORT, "meta_optimizer": _PHI},
    "imaml": {
        "algorithm": {"name": "imaml", **_IMPLICIT},
        "adapt": _LONG,
        "prior": _PRIOR,
        "meta_optimizer": _PHI,
    },
    "reptile": {
        "algorithm": {"name": "reptile"},
        "adapt": {**_LONG, "data": "all"},
        "meta_optimizer": {"phi": {"name": "sgd", "learning_rate": 0.5, "decay": "linear"}},
    },
}


def own_config(loss: str, algorithm: str, *, steps: int, seed: int = 0) -> dict[str, Any]:
    """A config without its task and model, which are the user's.

    Raises:
      UsageError: no such algorithm.
    """
    config = default_config(f"own:{algorithm}").to_dict()
    config["seed"] = seed
    config["loss"] |= {"name": loss}
    # An export needs an answer though no gap is found: what has a hundredth of the largest variance
    # or more adapts, which is all modules where the variances are not separated.
    config["eval"]["selection"] = {"rule": "relative", "value": 0.01}
    config["train"] |= {
        "steps": steps,
        "meta_batch_size": 4,
        "log_every": min(100, steps),
        "eval_every": 0,
        "clip_norm": 10.0,
    }
    for section, values in choose("algorithm", ALGORITHMS, algorithm).items():
        config[section] |= values
    return config
