"""What the configs here share; the sections and their defaults are experiments/defaults.py."""

from typing import Any

from meta_shrink.experiments.defaults import adam, choose, default_config, sgd

__all__ = ["adam", "choose", "default_config", "gaussian", "sgd"]


def gaussian(
    name: str, *, mean: str, phi: list, sigma: list, noise: list, num_points: int, initial: float
) -> Any:
    """A config of the hierarchical Gaussian experiments (App. C), without its algorithm.

    One module per dimension; the summed loss, so that sigma^2 is the Bayesian one; no regulariser.
    """
    config = default_config(name)
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
