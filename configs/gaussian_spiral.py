"""Spiral Gaussian (App. C.2, Fig. 9): curved likelihoods that need long adaptation.

python -m launch.train --config=configs/gaussian_spiral.py:sigma_reptile --workdir=runs/spiral
"""

from configs import common

DIMENSIONS = 10
NOISE = [10.0] * DIMENSIONS


def get_config(argument: str = "sigma_reptile"):
    """The config of one algorithm: maml, meta_sgd, sigma_reptile."""
    config = common.base(f"gaussian_spiral:{argument}")
    config.device.cpu_threads = 1
    config.task = {
        "name": "gaussian",
        "mean": "spiral",
        "phi": [2.0] * DIMENSIONS,
        "sigma": [4.0] * 8 + [8.0] * 2,
        "noise": NOISE,
        "num_train": 10,
        "num_val": 10,
        "num_heldout_val": 100,
    }
    config.model = {"name": "gaussian", "dimensions": DIMENSIONS, "mean": "spiral", "initial": 1.0}
    config.modules = {"by": "variable"}
    config.loss = {"name": "gaussian", "reduction": "sum", "noise": NOISE}
    config.prior.beta = 0.0
    config.train.update({"steps": 5000, "meta_batch_size": 20})
    config.eval.num_tasks = 1000
    common.choose(ALGORITHMS, argument)(config)
    return config


def maml(config):
    """One learning rate, chosen by search."""
    config.algorithm = {"name": "maml"}
    config.train.task_axis = "sequential"
    config.train.steps = 2500
    config.adapt.update({"learning_rate": 0.2, "steps": 80})
    config.meta_optimizer = {"phi": common.adam(4.5e-3)}
    config.search.update({"num_trials": 40, "steps": 2000})
    config.search.space = [
        ("adapt.learning_rate", "log", 1e-2, 1.0),
        ("adapt.steps", "int", 20, 100),
        ("meta_optimizer.phi.learning_rate", "log", 2e-3, 5e-2),
    ]
    config.train.clip_norm = 10.0


def meta_sgd(config):
    """One learned rate per parameter."""
    maml(config)
    config.train.steps = 5000
    config.adapt.update({"learning_rate": 0.24, "steps": 73})
    config.meta_optimizer.log_alpha = common.adam(3.2e-3)
    config.search.space = [
        *config.search.space,
        ("meta_optimizer.log_alpha.learning_rate", "log", 2e-3, 5e-2),
    ]


def sigma_reptile(config):
    """Long adaptation."""
    config.algorithm = {"name": "sigma_reptile", "cg_steps": 10, "damping": 0.17}
    config.adapt.update({"learning_rate": 0.154, "steps": 1000})
    config.train.steps = 3000
    config.prior.sigma2 = 6.0
    config.meta_optimizer = {"phi": common.adam(1e-2), "log_sigma2": common.adam(2e-2)}
    config.train.clip_norm = 10.0
    config.search.update({"num_trials": 40, "steps": 1000})
    config.search.space = [
        ("adapt.learning_rate", "log", 0.03, 1.0),
        ("adapt.steps", "int", 300, 2000),
        ("algorithm.damping", "log", 1e-3, 0.3),
        ("prior.sigma2", "log", 4.0, 64.0),
        ("meta_optimizer.log_sigma2.learning_rate", "log", 3e-3, 5e-2),
    ]


ALGORITHMS = {"maml": maml, "meta_sgd": meta_sgd, "sigma_reptile": sigma_reptile}
