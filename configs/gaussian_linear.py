"""Linear Gaussian (App. C.1, Figs. 7 and 8): who generalises beyond the meta-training horizon?

python -m launch.train --config=configs/gaussian_linear.py:sigma_reptile --workdir=runs/linear
"""

from configs import common

DIMENSIONS = 8
NOISE = [8.0] * 4 + [5.0] * 4 + [1.0]


def get_config(argument: str = "sigma_reptile"):
    """The config of one algorithm: maml, meta_sgd, sigma_reptile."""
    config = common.base(f"gaussian_linear:{argument}")
    config.device.cpu_threads = 1
    config.task = {
        "name": "gaussian",
        "mean": "linear",
        "phi": [1.0] * DIMENSIONS,
        "sigma": [8.0] * 4 + [2.0] * 4,
        "noise": NOISE,
        "num_train": 4,
        "num_val": 4,
        "num_heldout_val": 100,
    }
    config.model = {"name": "gaussian", "dimensions": DIMENSIONS, "mean": "linear"}
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
    config.adapt.update({"learning_rate": 0.1, "steps": 95})
    config.meta_optimizer = {"phi": common.adam(1e-2)}
    config.search.update({"num_trials": 40, "steps": 2000})
    config.search.space = [
        ("adapt.learning_rate", "log", 1e-2, 0.3),
        ("adapt.steps", "int", 20, 100),
        ("meta_optimizer.phi.learning_rate", "log", 2e-3, 5e-2),
    ]


def meta_sgd(config):
    """One learned rate per parameter."""
    maml(config)
    config.train.steps = 5000
    config.adapt.learning_rate = 0.02
    config.meta_optimizer.log_alpha = common.adam(6e-3)
    config.search.space = [
        *config.search.space,
        ("meta_optimizer.log_alpha.learning_rate", "log", 2e-3, 5e-2),
    ]


def sigma_reptile(config):
    """Adaptation runs to convergence, so that the learned sigma is the true one."""
    config.algorithm = {"name": "sigma_reptile", "cg_steps": 8, "damping": 0.0}
    config.adapt.update({"learning_rate": 0.2, "steps": 300})
    config.prior.sigma2 = 16.0
    config.meta_optimizer = {"phi": common.adam(1e-2), "log_sigma2": common.adam(1e-2)}


ALGORITHMS = {"maml": maml, "meta_sgd": meta_sgd, "sigma_reptile": sigma_reptile}
