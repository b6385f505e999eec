"""Sinusoid regression (App. E.3, Table 7, Fig. 13); see docs/results for measured numbers.

python -m launch.train --config=configs/sinusoid.py:sigma_reptile --workdir=runs/sinusoid_sigma_reptile
"""

from configs import common

LAYERS = {
    "layer_1": ["layer_1/kernel", "layer_1/bias"],
    "layer_2": ["layer_2/kernel", "layer_2/bias"],
    "layer_3": ["layer_3/kernel", "layer_3/bias"],
}


def get_config(argument: str = "sigma_reptile"):
    """The config of one algorithm; "demo" is a short sigma_reptile."""
    config = common.base(f"sinusoid:{argument}")
    config.device.cpu_threads = 1
    config.task = {"name": "sinusoid"}
    config.model = {"name": "mlp", "hidden": [40, 40]}
    config.modules = {"by": "variable"}
    config.loss = {"name": "squared_error", "reduction": "mean"}
    config.train.steps = 100_000
    config.eval.groups = LAYERS
    config.eval.examples = 2
    ALGORITHMS[argument](config)
    return config


def sigma_maml(config):
    """Table 7, first column."""
    config.algorithm = {"name": "maml"}
    config.train.task_axis = "parallel"
    config.adapt.update({"learning_rate": 8.3e-4, "steps": 68})
    config.prior.sigma2 = 1.0
    config.meta_optimizer = {"phi": common.adam(9.8e-4), "log_sigma2": common.adam(4.4e-3)}


def sigma_reptile(config):
    """Table 7."""
    config.algorithm = {"name": "sigma_reptile", "cg_steps": 1, "damping": 0.5}
    config.adapt.update({"learning_rate": 3.9e-4, "steps": 100})
    config.prior.sigma2 = 1.0
    config.meta_optimizer = {"phi": common.adam(5.7e-3), "log_sigma2": common.adam(1.8e-3)}


def demo(config):
    """sigma_reptile for a coffee break: about a minute on 2 cores."""
    sigma_reptile(config)
    config.train.steps = 20_000


def sigma_reptile2(config):
    """Table 7, other column."""
    config.algorithm = {"name": "sigma_reptile", "cg_steps": 7, "damping": 6e-3}
    config.adapt.update({"learning_rate": 1.4e-4, "steps": 100})
    config.prior.sigma2 = 1.0
    config.meta_optimizer = {"phi": common.adam(3e-3), "log_sigma2": common.adam(1.4e-4)}


def sigma_imaml(config):
    """Table 7."""
    config.algorithm = {"name": "imaml", "cg_steps": 7, "damping": 6e-3}
    config.adapt.update({"learning_rate": 1.4e-4, "steps": 100})
    config.prior.sigma2 = 1.0
    config.meta_optimizer = {"phi": common.adam(3.0e-3), "log_sigma2": common.adam(1.4e-4)}


ALGORITHMS = {
    "demo": demo,
    "sigma_maml": sigma_maml,
    "sigma_reptile": sigma_reptile,
    "sigma_reptile2": sigma_reptile2,
    "sigma_imaml": sigma_imaml,
}
