"""Sinusoid regression (App. E.3, Table 7, Fig. 13); see docs/results for measured numbers.

python -m launch.train --config=configs/sinusoid.py:sigma_reptile --workdir=runs/sigma_reptile
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
    config.search.num_trials = 40
    config.search.steps = 8000
    common.choose(ALGORITHMS, argument)(config)
    return config


def sigma_maml(config):
    """Table 7."""
    config.algorithm = {"name": "maml"}
    config.train.task_axis = "parallel"
    config.adapt.update({"learning_rate": 8.3e-4, "steps": 68})
    config.prior.sigma2 = 1.0
    config.meta_optimizer = {"phi": common.adam(9.8e-4), "log_sigma2": common.adam(4.4e-3)}
    config.search.steps = 4000
    config.search.space = [
        ("adapt.learning_rate", "log", 5e-4, 2e-2),
        ("prior.sigma2", "log", 0.05, 2.0),
        ("meta_optimizer.phi.learning_rate", "log", 3e-4, 6e-3),
        ("meta_optimizer.log_sigma2.learning_rate", "log", 1e-3, 2e-2),
        ("train.clip_norm", "choice", [0.0, 1.0, 10.0]),
    ]


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


def sigma_imaml(config):
    """Searched: Table 7's values do not learn here."""
    config.algorithm = {"name": "imaml", "cg_steps": 1, "damping": 4.0}
    config.adapt.update({"learning_rate": 2.8e-3, "steps": 200})
    config.prior.sigma2 = 0.135
    config.train.clip_norm = 10.0
    config.meta_optimizer = {"phi": common.adam(3.0e-3), "log_sigma2": common.adam(2e-3)}
    config.search.space = [
        ("algorithm.cg_steps", "int", 1, 8),
        ("algorithm.damping", "log", 0.01, 30.0),
        ("adapt.learning_rate", "log", 3e-4, 1e-2),
        ("prior.sigma2", "log", 0.01, 1.0),
        ("meta_optimizer.phi.learning_rate", "log", 3e-4, 6e-3),
        ("meta_optimizer.log_sigma2.learning_rate", "log", 1e-3, 2e-2),
        ("train.clip_norm", "choice", [0.0, 1.0, 10.0]),
    ]


def imaml(config):
    """sigma^2 = 1/lambda for every module, not learned."""
    sigma_imaml(config)
    del config.meta_optimizer.log_sigma2
    config.search.space = [r for r in config.search.space if "log_sigma2" not in r[0]]


def maml(config):
    """No prior; short adaptation, as back-propagation through it allows."""
    config.algorithm = {"name": "maml"}
    config.train.task_axis = "parallel"
    config.adapt.update({"learning_rate": 1e-2, "steps": 5})
    config.meta_optimizer = {"phi": common.adam(1e-3)}
    config.search.space = [
        ("adapt.learning_rate", "log", 2e-3, 0.1),
        ("adapt.steps", "int", 1, 20),
        ("meta_optimizer.phi.learning_rate", "log", 3e-4, 6e-3),
        ("train.clip_norm", "choice", [0.0, 1.0, 10.0]),
    ]


def meta_sgd(config):
    """MAML with one learned rate per parameter."""
    maml(config)
    config.adapt.rate_per = "parameter"
    config.meta_optimizer.log_alpha = common.adam(1e-3)
    config.search.space = [
        *config.search.space,
        ("meta_optimizer.log_alpha.learning_rate", "log", 3e-4, 2e-2),
    ]


def fomaml(config):
    """First-order MAML."""
    maml(config)
    config.algorithm = {"name": "fomaml"}
    config.train.task_axis = "vectorized"


def reptile(config):
    """Adam as task optimizer, SGD with linear decay as meta-optimizer, as the paper has it."""
    config.algorithm = {"name": "reptile"}
    config.adapt.update(
        {"optimizer": "proximal_adam", "learning_rate": 3e-3, "steps": 100, "data": "all"}
    )
    config.meta_optimizer = {"phi": common.sgd(0.3, decay="linear")}
    config.search.space = [
        ("adapt.learning_rate", "log", 5e-4, 3e-2),
        ("meta_optimizer.phi.learning_rate", "log", 0.03, 1.5),
        ("adapt.steps", "choice", [32, 64, 100]),
    ]


ALGORITHMS = {
    "demo": demo,
    "fomaml": fomaml,
    "imaml": imaml,
    "maml": maml,
    "meta_sgd": meta_sgd,
    "reptile": reptile,
    "sigma_imaml": sigma_imaml,
    "sigma_maml": sigma_maml,
    "sigma_reptile": sigma_reptile,
}
