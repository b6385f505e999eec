"""Spiral Gaussian (App. C.2, Fig. 9): curved likelihoods that need long adaptation.

python -m launch.train --config=configs/gaussian_spiral.py:sigma_reptile --workdir=runs/spiral

One or two minutes each. To expect: sigma of the last two dimensions far above the others, a
held-out loss of 5.45 at 1,000 steps that goes on falling to 5.43; meta_sgd 5.69 that rises to 5.77.
"""

from configs import common


def get_config(argument: str = "sigma_reptile"):
    """The config of one algorithm: maml, meta_sgd, sigma_reptile."""
    config = common.gaussian(
        f"gaussian_spiral:{argument}",
        mean="spiral",
        phi=[2.0] * 10,
        sigma=[4.0] * 8 + [8.0] * 2,
        noise=[10.0] * 10,
        num_points=10,
        initial=1.0,
    )
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
