"""Linear Gaussian (App. C.1, Figs. 7 and 8): who generalises beyond the meta-training horizon?

python -m launch.train --config=configs/gaussian_linear.py:sigma_reptile --workdir=runs/linear

A minute or two each. To expect: sigma near 8, 8, 8, 8, 2, 2, 2, 2 and a held-out loss of 5.12 that
stays there at 10 times the steps; meta_sgd 5.12 that rises to 5.49; maml 5.52.
"""

from configs import common


def get_config(argument: str = "sigma_reptile"):
    """The config of one algorithm: maml, meta_sgd, sigma_reptile."""
    config = common.gaussian(
        f"gaussian_linear:{argument}",
        mean="linear",
        phi=[1.0] * 8,
        sigma=[8.0] * 4 + [2.0] * 4,
        noise=[8.0] * 4 + [5.0] * 4 + [1.0],
        num_points=4,
        initial=0.0,
    )
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
