"""Sections that every experiment has, with their defaults.

A config is `get_config(argument)` in one file per experiment; it starts from `base()` and fills
in what is its own. Each section is the keyword arguments of one function (meta_shrink.experiment).
"""

from typing import Any

from ml_collections import ConfigDict

from meta_shrink.errors import UsageError


def base(name: str) -> Any:
    """A config without task, model and algorithm."""
    return ConfigDict(
        {
            "name": name,
            "seed": 0,
            # cpu_threads 0: TensorFlow's choice; 1 is faster for small networks.
            "device": {"cpu_threads": 0},
            "task": {},
            "model": {},
            # One module per layer; "variable", or "pattern" with {name: regular expression}.
            "modules": {"by": "layer"},
            "loss": {"reduction": "mean"},
            # batch_size 0: every step sees all training examples of the task.
            "adapt": {"optimizer": "proximal_gd", "batch_size": 0, "data": "train"},
            "algorithm": {},
            # sigma2: at the start, inf for none. beta: inverse-Gamma regulariser (Eq. 49).
            "prior": {"sigma2": float("inf"), "beta": 1e-5, "sigma2_min": 1e-5, "sigma2_max": 1e5},
            # One section per learned component: phi, log_sigma2, log_alpha.
            "meta_optimizer": {},
            # Classification of all training classes before the first meta-step; 0 steps: none.
            "warm_start": {
                "steps": 0,
                # Its own: runs with other seeds start from the same phi.
                "seed": 0,
                "batch_size": 64,
                "learning_rate": 2e-3,
                # Options of tasks.augment.random_affine; {}: as the task's own mini-batches.
                "augment": {},
                # Folder in which runs that differ in their algorithm alone share it; "": none.
                "cache": "",
            },
            "train": _train(),
            "eval": _eval(),
            # Rows (dotted key, "log" | "linear" | "int", low, high) for launch.sweep.
            "search": {"num_trials": 30, "steps": 5000, "space": []},
        }
    )


def _train() -> dict:
    return {
        "steps": 1000,
        "meta_batch_size": 5,
        "task_axis": "vectorized",
        # XLA: "auto", "on", "off".
        "jit": "auto",
        "chunk_steps": 1000,
        "clip_norm": 0.0,
        "log_every": 100,
        "eval_every": 0,
        "checkpoint_every": 1000,
        "keep_checkpoints": 3,
        "max_bad_steps": 10,
        # Validation examples of a meta-training task, drawn anew each time; 0: all it has.
        "validation_batch": 0,
    }


def _eval() -> dict:
    return {
        "num_tasks": 100,
        # Tasks of the evaluations during training; 0: num_tasks.
        "validation_tasks": 0,
        # Adaptation steps at which results are quoted; 0: adapt.steps.
        "steps": 0,
        # Adaptation goes on to this many times these steps.
        "horizon": 10,
        # What adapts: all modules, the selected ones, each group alone.
        "kinds": ["all", "selected", "single"],
        # Modules adapted together when one group at a time is adapted; {} is one each.
        "groups": {},
        # Tasks and horizon when a group adapts alone; 0 tasks: num_tasks.
        "group_tasks": 0,
        "group_horizon": 10,
        # About as many adaptation steps are recorded, evenly on a log scale.
        "points": 40,
        # Also measure with batch-norm moments of the task's training data.
        "inductive": False,
        "selection": {"rule": "relative", "value": 0.01},
        "examples": 0,
    }


def gaussian(
    name: str, *, mean: str, phi: list, sigma: list, noise: list, num_points: int, initial: float
) -> Any:
    """A config of the hierarchical Gaussian experiments (App. C), without its algorithm.

    One module per dimension; the summed loss, so that sigma^2 is the Bayesian one; no regulariser.
    """
    config = base(name)
    config.device.cpu_threads = 1
    config.task = {
        "name": "gaussian",
        "mean": mean,
        "phi": phi,
        "sigma": sigma,
        "noise": noise,
        "num_train": num_points,
        "num_val": num_points,
        "num_heldout_val": 100,
    }
    config.model = {"name": "gaussian", "dimensions": len(phi), "mean": mean, "initial": initial}
    config.modules = {"by": "variable"}
    config.loss = {"name": "gaussian", "reduction": "sum", "noise": noise}
    config.prior.beta = 0.0
    config.train.update({"steps": 5000, "meta_batch_size": 20})
    config.eval.num_tasks = 1000
    return config


def adam(learning_rate: float, decay: str = "none") -> dict:
    """A meta_optimizer section; decay "linear" reaches 0 at the last meta-step."""
    return {"name": "adam", "learning_rate": learning_rate, "decay": decay}


def sgd(learning_rate: float, decay: str = "none") -> dict:
    """A meta_optimizer section."""
    return {"name": "sgd", "learning_rate": learning_rate, "decay": decay}


def choose(algorithms: dict, argument: str):
    """The function of a config argument.

    Raises:
      UsageError: there is none of that name.
    """
    if argument not in algorithms:
        raise UsageError(
            f"Config argument {argument!r}: expected one of {', '.join(sorted(algorithms))}."
        )
    return algorithms[argument]
