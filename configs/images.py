"""What the image experiments share, and their algorithms as functions of a column of a table."""

from typing import Any, NamedTuple

from configs import common


class Column(NamedTuple):
    """One column of Table 4, 5, 8 or 9; 0 and None where the table has a dash.

    rates: meta learning rates of phi and of log sigma^2 (of log alpha for Meta-SGD). steps, batch:
    meta-steps and tasks of each. cg_steps, damping, damping_unit: of the implicit gradient; the
    tables' column iMAML has d of Eq. 47, damping_unit "precision", the others d~ of Eq. 48.
    task_optimizer, task_rate, task_steps, task_batch: of adaptation, 0 images for all of them.
    sigma2: at the start, 1/lambda for iMAML.
    """

    rates: tuple[float, float]
    steps: int
    batch: int
    task_rate: float
    task_steps: int
    meta_optimizer: str = "adam"
    task_optimizer: str = "proximal_gd"
    cg_steps: int = 0
    damping: float = 0.0
    damping_unit: str = "nll"
    sigma2: float | None = None
    decay: str = "none"
    clip_norm: float = 0.0
    phi_scale: str = "precision"
    rate_per: str = "module"


# algorithm: name of its meta-gradient, what it learns besides phi.
ALGORITHMS = {
    "maml": ("maml", None),
    "fomaml": ("fomaml", None),
    "meta_sgd": ("maml", "log_alpha"),
    "imaml": ("imaml", None),
    "reptile": ("reptile", None),
    "sigma_maml": ("maml", "log_sigma2"),
    "sigma_imaml": ("imaml", "log_sigma2"),
    "sigma_reptile": ("sigma_reptile", "log_sigma2"),
}


def base(name: str) -> Any:
    """A config of image classification, without task, model and algorithm."""
    config = common.default_config(name)
    config.loss = {"name": "cross_entropy", "reduction": "mean"}
    config.train.update(
        {"task_axis": "sequential", "log_every": 10, "checkpoint_every": 50, "eval_every": 0}
    )
    # A ranking: the variances are 2 to 16 times apart here (docs/results/images.md), no gap
    # of two orders of magnitude. Whether the largest alone will do is asked.
    config.eval.update(
        {"inductive": True, "selection": {"rule": "top_k", "value": 1}, "group_horizon": 1}
    )
    return config


def use(config: Any, algorithm: str, column: Column) -> None:
    """Set the algorithm and its numbers."""
    gradient, extra = ALGORITHMS[algorithm]
    options: dict[str, Any] = {"name": gradient}
    if column.cg_steps:
        options |= {
            "cg_steps": column.cg_steps,
            "damping": column.damping,
            "damping_unit": column.damping_unit,
            "hessian_data": "last",
        }
    if gradient == "sigma_reptile":
        options["phi_scale"] = column.phi_scale
    config.algorithm = options
    config.adapt.update(
        {
            "optimizer": column.task_optimizer,
            "learning_rate": column.task_rate,
            "steps": column.task_steps,
            "rate_per": column.rate_per,
            "data": "all" if gradient == "reptile" else "train",
        }
    )
    if column.sigma2 is not None:
        config.prior.sigma2 = column.sigma2
    config.train.update(
        {"steps": column.steps, "meta_batch_size": column.batch, "clip_norm": column.clip_norm}
    )
    make = {"adam": common.adam, "sgd": common.sgd}
    config.meta_optimizer = {
        "phi": make[column.meta_optimizer](column.rates[0], decay=column.decay)
    }
    if extra:
        # Also where phi has SGD: the scale of this gradient depends on sigma^2 itself.
        config.meta_optimizer[extra] = common.adam(column.rates[1], decay=column.decay)


def parse(argument: str, settings: tuple[str, ...]) -> tuple[bool, str, str]:
    """(quick, setting, algorithm) of "[quick_]SETTING_ALGORITHM".

    Raises:
      UsageError: no such setting or algorithm.
    """
    quick = argument.startswith("quick_")
    return quick, *split(argument.removeprefix("quick_"), settings)


def split(argument: str, settings: tuple[str, ...]) -> tuple[str, str]:
    """(setting, algorithm) of "SETTING_ALGORITHM".

    Raises:
      UsageError: no such setting or algorithm.
    """
    arguments = {f"{s}_{a}": (s, a) for s in settings for a in ALGORITHMS}
    return common.choose(arguments, argument)
