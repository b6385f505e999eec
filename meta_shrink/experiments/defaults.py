"""The sections of a config with their defaults, and the values that some of them become.

A config is `get_config(argument)` in one file per experiment; it starts from `default_config()` and
fills in what is its own. Each section is the keyword arguments of one function or value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from meta_shrink.errors import UsageError
from meta_shrink.prior import SIGMA2_MAX, SIGMA2_MIN

EVAL_KINDS = ("all", "selected", "single")


class Device(NamedTuple):
    """The `device` section.

    cpu_threads: 0 leaves TensorFlow's choice; 1 is faster for small networks. matmul_precision:
    training.distribution.MATMUL_PRECISIONS.
    """

    cpu_threads: int = 0
    matmul_precision: str = "float32"


class Schedule(NamedTuple):
    """The `train` section.

    steps: meta-steps. meta_batch_size: tasks of one, over all replicas. task_axis: how they run,
    "sequential", "parallel", "vectorized", or "auto", as the network has it. jit: XLA "on", "off"
    or "auto" (both: experiments/execution.py). chunk_steps: most adaptation steps of one call.
    clip_norm: of the meta-gradient; 0 for none. log_every, eval_every (0: never),
    checkpoint_every: in meta-steps. keep_checkpoints: that many. max_bad_steps: meta-steps in a row
    without a finite task that end the run. validation_batch: validation examples of a meta-training
    task, drawn anew each time; 0 for all that it has.
    """

    steps: int = 1000
    meta_batch_size: int = 5
    task_axis: str = "auto"
    jit: str = "auto"
    chunk_steps: int = 1000
    clip_norm: float = 0.0
    log_every: int = 100
    eval_every: int = 0
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3
    max_bad_steps: int = 10
    validation_batch: int = 0


class Prior(NamedTuple):
    """The `prior` section.

    sigma2: at the start, of every module; inf for none. beta: of the inverse-Gamma regulariser
    (Eq. 49); 0 for none. sigma2_min, sigma2_max: bounds of the learned ones (App. D.2).
    """

    sigma2: float = float("inf")
    beta: float = 1e-5
    sigma2_min: float = SIGMA2_MIN
    sigma2_max: float = SIGMA2_MAX


class EvalOptions(NamedTuple):
    """The `eval` section.

    num_tasks: held-out tasks. validation_tasks: of the evaluations during training; 0 for
    num_tasks. steps: adaptation steps at which results are quoted; 0 for adapt.steps. horizon:
    adaptation goes on to this many times these steps. kinds: what adapts, all modules, the
    selected ones, each group alone. groups: modules that adapt together when one group at a time
    does; {} is one each. group_tasks (0 for num_tasks), group_horizon: of these. points: about as
    many steps are recorded, evenly on a log scale. inductive: also measure with batch-norm moments
    of the task's training data. selection: rule and value of prior.task_specific. examples: tasks
    whose predictions are kept.
    """

    num_tasks: int = 100
    validation_tasks: int = 0
    steps: int = 0
    horizon: int = 10
    kinds: Sequence[str] = EVAL_KINDS
    groups: Mapping[str, Sequence[str]] = {}
    group_tasks: int = 0
    group_horizon: int = 10
    points: int = 40
    inductive: bool = False
    selection: Mapping[str, Any] = {"rule": "gap", "value": 100}
    examples: int = 0


def default_config(name: str) -> Any:
    """A config without task, model and algorithm."""
    return ConfigDict(
        {
            "name": name,
            "seed": 0,
            "device": Device()._asdict(),
            "task": {},
            "model": {},
            # One module per layer; "variable", or "pattern" with {name: regular expression}.
            "modules": {"by": "layer"},
            "loss": {"reduction": "mean"},
            # batch_size 0: every step sees all training examples of the task.
            "adapt": {"optimizer": "proximal_gd", "batch_size": 0, "data": "train"},
            "algorithm": {},
            "prior": Prior()._asdict(),
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
            "train": Schedule()._asdict(),
            "eval": _plain(EvalOptions()),
            # Rows (dotted key, "log" | "linear" | "int", low, high) for launch.sweep.
            "search": {"num_trials": 30, "steps": 5000, "space": []},
        }
    )


def _plain(options: EvalOptions) -> dict[str, Any]:
    """As a config has it: dicts and lists of its own."""
    section = options._asdict()
    copies = {"kinds": list(options.kinds), "groups": {}, "selection": dict(options.selection)}
    return {**section, **copies}


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
