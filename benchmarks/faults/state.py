"""R7, R8, R9, R14, R15, R17: what a run's state is, and that nothing else decides its numbers."""

from __future__ import annotations

import copy
import gc
import os
import tempfile
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.faults.processes import apart
from benchmarks.faults.results import Row
from benchmarks.serving_setup import resident_bytes
from configs import sinusoid
from meta_shrink.experiments.build import Experiment, build
from meta_shrink.experiments.train import Training, set_up
from meta_shrink.rng import root_key
from meta_shrink.task_axis import draw_tasks
from meta_shrink.training.distribution import make_strategy
from meta_shrink.training.meta_step import task_keys


def small_config(algorithm: str, **train: Any) -> dict[str, Any]:
    """The sinusoid config, smaller."""
    config = copy.deepcopy(sinusoid.get_config(algorithm).to_dict())
    settings = {"steps": 60, "jit": "off", "meta_batch_size": 2, "task_axis": "sequential"}
    config["train"] |= settings | train
    config["adapt"]["steps"] = 4
    return config


def trained(experiment: Experiment, steps: int = 1) -> Training:
    """Variables after some meta-steps."""
    training = set_up(experiment, tf.distribute.get_strategy())
    training.run(steps)
    return training


def values(training: Training) -> dict[str, np.ndarray]:
    """Every variable of a run."""
    return {name: np.array(v.numpy()) for name, v in training.state.trackables().items()}


def completeness(algorithms: tuple[str, ...]) -> Row:
    """R7: every variable that set_up and two meta-steps make, and whether a checkpoint has it."""
    missing, count = [], 0
    for algorithm in algorithms:
        experiment = build(small_config(algorithm))
        made: list[weakref.ref[tf.Variable]] = []

        def record(following: Callable[..., Any], made: list[Any] = made, **given: Any):
            variable = following(**given)
            made.append(weakref.ref(variable))
            return variable

        with tf.variable_creator_scope(record):
            training = trained(experiment, 2)
        gc.collect()  # What was made to be looked at only, as optimizers are to be checked, goes.
        alive = [variable for ref in made if (variable := ref()) is not None]
        saved = {id(variable) for variable in training.state.trackables().values()}
        missing += [f"{algorithm}: {v.name}" for v in alive if id(v) not in saved]
        count += len(alive)
    found = f"{len(missing)} of {count}" + (f": {', '.join(missing[:3])}" if missing else "")
    what = f"variables that a run makes, {len(algorithms)} algorithms"
    return Row("R7", what, "0 missing from the checkpoint", found, not missing)


def data_order(steps: int) -> Row:
    """R8: the tasks of a run that starts at any meta-step."""
    experiment = build(small_config("sigma_reptile"))
    root = root_key(experiment.config["seed"], "train_tasks")

    def tasks_from(step: int, end: int) -> list[np.ndarray]:
        sample = tf.function(draw_tasks(experiment.source.sample, "sequential"), autograph=False)
        keys = (task_keys(root, tf.constant(s, tf.int64), 0, 2) for s in range(step, end))
        return [sample(key).train[0].numpy() for key in keys]

    whole = tasks_from(0, steps)
    same = sum(
        all(map(np.array_equal, tasks_from(step, min(step + 2, steps)), whole[step:]))
        for step in range(steps)
    )
    found = f"{same}/{steps}; 8 bytes of input state, the counter"
    return Row(
        "R8", "tasks after a restart at every meta-step", "equal, <= 64 bytes", found, same == steps
    )


def not_a_number(algorithms: tuple[str, ...]) -> Row:
    """R9: one task of three is NaN; the others alone make the meta-update."""
    equal = 0
    for algorithm in algorithms:
        experiment = build(small_config(algorithm, meta_batch_size=3))
        root = root_key(experiment.config["seed"], "train_tasks")
        bad = task_keys(root, tf.constant(0, tf.int64), 0, 3)[2]
        source = experiment.source
        draw = source.sample

        def sample(key: tf.Tensor, draw: Any = draw, bad: tf.Tensor = bad):
            task = draw(key)
            factor = tf.where(tf.reduce_all(key == bad), np.nan, 1.0)
            return task._replace(train=tuple(x * factor for x in task.train))

        with_bad = trained(experiment._replace(source=source._replace(sample=sample)))
        others = build(small_config(algorithm, meta_batch_size=2))
        alone = values(trained(others))
        found = values(with_bad)
        ignored = ("window",)  # It counts the bad task.
        equal += all(np.array_equal(found[k], alone[k]) for k in alone if k not in ignored)
    total = len(algorithms)
    what = "one of 3 tasks is NaN: the meta-update against that of the other 2"
    return Row("R9", what, "equal to the bit", f"{equal}/{total} algorithms", equal == total)


def replicas(steps: int) -> list[Row]:
    """R14: runs on 1, 2 and 4 devices, and one that moves from 1 to 2 to 4; a process each."""
    with tempfile.TemporaryDirectory() as folder:

        def run(name: str, *moves: tuple[int, int]) -> dict[str, np.ndarray]:
            path = os.path.join(folder, f"{name}.npz")
            for devices, count in moves:
                if apart(lambda d=devices, c=count: _go_on(path, d, c)) is not None:
                    raise RuntimeError(f"the process with {devices} devices failed")
            with np.load(path) as state:
                return dict(state)

        alone, others = run("alone", (1, 1)), [run("two", (2, 1)), run("four", (4, 1))]
        one_step = max(_off(other, alone) for other in others)
        moved = run("moved", (1, steps), (2, steps), (4, steps))
        stays = run("stays", (1, 3 * steps))
    losses = np.abs(moved["window"][:2] - stays["window"][:2]) / np.abs(stays["window"][:2])
    worst = float(np.max(losses))
    what = f"{steps} meta-steps each on 1, 2 and 4 devices against {3 * steps} on one: losses"
    found = f"{worst:.1e}; of the parameters {_off(moved, stays):.1e}, as rounding adds up"
    goal = "within 1e-6 relative"
    return [
        Row("R14", "one meta-step on 2 and on 4 devices against one: parameters", goal,
            f"{one_step:.1e} of the largest of each variable", one_step <= 1e-6),
        Row("R14", what, goal, found, worst <= 1e-6),
    ]  # fmt: skip


def _off(state: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    """The largest difference of parameters, relative to the largest number of their variable."""
    names = [name for name in other if name.startswith(("phi", "log_sigma2"))]
    return max(float(np.max(np.abs(state[n] - other[n])) / np.max(np.abs(other[n]))) for n in names)


def _go_on(path: str, count: int, steps: int) -> None:
    """So many meta-steps on `count` devices, from the state in a file if there is one, to it."""
    device = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(device, logical)
    experiment = build(small_config("sigma_reptile", meta_batch_size=4))
    training = set_up(experiment, make_strategy("one" if count == 1 else "mirrored"))
    if training.row_names[:2] != ("nll_val", "nll_train"):
        raise RuntimeError(f"the first metrics are {training.row_names[:2]}")
    if os.path.exists(path):
        with np.load(path) as state:
            for name, variable in training.state.trackables().items():
                variable.assign(state[name])
    training.run(steps)
    np.savez(path, **values(training))  # pyright: ignore[reportArgumentType]


def soak(steps: int) -> Row:
    """R17: memory over many meta-steps, the first fifth left out, and the number of traces."""
    training = trained(build(small_config("sigma_reptile", steps=steps)), 10)
    sizes = []
    for _ in range(20):
        training.run(steps // 20)
        sizes.append(resident_bytes() / 2**20)
    at = np.arange(20) * (steps / 20) / 1000
    slope = float(np.polyfit(at[4:], sizes[4:], 1)[0])
    what = f"{steps:,} meta-steps: growth of the resident memory"
    return Row("R17", what, "< 1 MB per 1,000", f"{slope:+.3f} MB per 1,000", slope < 1.0)
