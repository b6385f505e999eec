"""Meta-steps: what a task that fails does, what a replica count does not do, tracing, keys."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import Task, UsageError, build
from meta_shrink.experiments.train import set_up
from meta_shrink.rng import fold_in, root_key
from meta_shrink.training import meta_step
from meta_shrink.training.distribution import make_strategy
from meta_shrink.training.meta_batch import make_core
from meta_shrink.training.meta_step import task_keys
from tests.tiny_runs import (
    ALGORITHMS,
    assert_equal,
    mostly_slow,
    set_values,
    tiny_config,
    tiny_training,
    values_of,
    variables_within,
)

SGD = {"name": "sgd", "learning_rate": 0.1}
CHUNKED = ("sigma_imaml", "sigma_reptile", "fomaml", "imaml", "reptile")
WITHOUT_XLA = {"jit": False, "task_axis": "sequential"}


def one_device():
    return tf.distribute.get_strategy()


def spoiled(source, bad_keys: list):
    """The source, whose tasks with these keys hold an infinite observation."""
    table = tf.constant(np.array(bad_keys))

    def sample(key: tf.Tensor) -> Task:
        task = source.sample(key)
        is_bad = tf.reduce_any(tf.reduce_all(tf.equal(table, key), axis=1))
        scale = tf.where(is_bad, np.inf, 1.0)
        return task._replace(train=tf.nest.map_structure(lambda x: x * scale, task.train))

    return source._replace(sample=sample)


def keys_of_step(config, step: int, count: int) -> np.ndarray:
    root = root_key(config["seed"], "train_tasks")
    return task_keys(root, tf.constant(step, tf.int64), 0, count).numpy()


@pytest.mark.parametrize(
    ("algorithm", "task_axis"), [("sigma_reptile", "sequential"), ("maml", "vectorized")]
)
def test_a_task_that_is_not_finite_is_left_out_and_counted(algorithm, task_axis):
    changes = {"train.meta_batch_size": 3, "train.task_axis": task_axis, "meta_optimizer.phi": SGD}
    experiment = build(tiny_config(algorithm, changes))
    keys = keys_of_step(experiment.config, 0, 3)
    core = make_core(
        experiment.meta_gradient, experiment.adapt.whole, experiment.source, **WITHOUT_XLA
    )
    deltas, count, _ = core(experiment.initial, tf.constant(keys[[0, 2]]))
    assert count == 2
    expected = [p - 0.1 * d / 2 for p, d in zip(experiment.initial.phi, deltas.phi, strict=True)]
    broken = experiment._replace(source=spoiled(experiment.source, [keys[1]]))
    training = set_up(broken, one_device())
    training.run(1)
    for got, value in zip(training.state.meta().phi, expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-6, atol=1e-7)
    window = dict(zip(training.row_names, training.state.window.numpy(), strict=False))
    assert window["tasks/nonfinite"] == 1
    assert np.isfinite(training.state.window.numpy()).all()
    assert int(training.state.bad_steps) == 0


def test_meta_steps_without_a_finite_task_are_counted_in_a_row():
    experiment = build(tiny_config("fomaml", {"meta_optimizer.phi": SGD}))
    bad = [key for step in (1, 2, 4) for key in keys_of_step(experiment.config, step, 2)]
    training = set_up(experiment._replace(source=spoiled(experiment.source, bad)), one_device())
    counts = []
    for _ in range(6):
        before = values_of(training)
        training.run(1)
        counts.append(int(training.state.bad_steps))
        if counts[-1]:
            after = values_of(training)
            changed = {name for name in after if not np.array_equal(after[name], before[name])}
            assert not any(name.startswith("phi") for name in changed)
    assert counts == [0, 1, 2, 0, 1, 0]


@pytest.mark.parametrize("algorithm", mostly_slow(ALGORITHMS, "sigma_reptile", "meta_sgd"))
def test_two_replicas_make_the_same_update_as_one(algorithm):
    experiment = build(tiny_config(algorithm, {"train.meta_batch_size": 4}))
    alone, strategy = set_up(experiment, one_device()), make_strategy("mirrored")
    mirrored = set_up(experiment, strategy)
    for training in (alone, mirrored):
        training.run(3)
    for name, variable in mirrored.state.trackables().items():
        first, second = strategy.experimental_local_results(variable)
        np.testing.assert_array_equal(first.numpy(), second.numpy(), err_msg=name)
    values, others = values_of(alone), values_of(mirrored)
    assert values.keys() == others.keys()
    for name, value in values.items():
        np.testing.assert_allclose(value, others[name], rtol=2e-5, atol=1e-6, err_msg=name)


def operations(function, *arguments) -> Counter[str]:
    """How many operations of each kind its graph has, those of its loops and calls included."""
    graph = function.get_concrete_function(*arguments).graph.as_graph_def()
    functions = [graph.node, *(called.node_def for called in graph.library.function)]
    return Counter(node.op for nodes in functions for node in nodes)


@pytest.mark.parametrize("algorithm", ["sigma_imaml", "meta_sgd"])
def test_a_meta_step_has_one_reduction(algorithm, monkeypatch):
    """Of all gradients, metrics and the count together; Keras's optimizers add none of theirs."""
    compiled = []

    def repeat(one_step, **_):
        compiled.append(tf.function(one_step, autograph=False))

    monkeypatch.setattr(meta_step, "_repeat", repeat)
    strategy = make_strategy("mirrored")
    set_up(build(tiny_config(algorithm)), strategy)
    found = operations(compiled[0], tf.constant(0))
    assert found["CollectiveReduceV2"] == strategy.num_replicas_in_sync == 2  # One on each.


def test_a_meta_batch_that_the_replicas_can_not_share_is_refused():
    experiment = build(tiny_config(changes={"train.meta_batch_size": 3}))
    with pytest.raises(UsageError, match="meta_batch_size is 3; expected a positive multiple of"):
        set_up(experiment, make_strategy("mirrored"))


@pytest.mark.parametrize("algorithm", mostly_slow(CHUNKED, "sigma_reptile"))
def test_adaptation_in_chunks_gives_the_same_update(algorithm):
    changes = {"adapt.steps": 7, "adapt.learning_rate": 0.05}
    whole = tiny_training(algorithm, changes)[1]
    chunked = tiny_training(algorithm, changes | {"train.chunk_steps": 3})[1]
    whole.run(3)
    assert [chunked.run(3) for _ in range(3)] == [1, 1, 1]
    values, others = values_of(whole), values_of(chunked)
    for name, value in values.items():
        np.testing.assert_allclose(value, others[name], rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("algorithm", mostly_slow(CHUNKED, "sigma_reptile"))
def test_chunks_on_two_replicas_give_the_update_of_whole_adaptation_and_of_one(algorithm):
    changes = {"train.meta_batch_size": 4, "adapt.steps": 7, "adapt.learning_rate": 0.05}
    cut, strategy = changes | {"train.chunk_steps": 3}, make_strategy("mirrored")
    chunked = set_up(build(tiny_config(algorithm, cut)), strategy)
    whole = set_up(build(tiny_config(algorithm, changes)), strategy)
    alone = tiny_training(algorithm, cut)[1]
    whole.run(3)
    for training in (chunked, alone):
        assert [training.run(3) for _ in range(3)] == [1, 1, 1]
    values = values_of(chunked)
    for others in (values_of(whole), values_of(alone)):
        for name, value in values.items():
            np.testing.assert_allclose(value, others[name], rtol=1e-5, atol=1e-6, err_msg=name)
    for name, variable in chunked.state.trackables().items():
        first, second = strategy.experimental_local_results(variable)
        np.testing.assert_array_equal(first.numpy(), second.numpy(), err_msg=name)


@pytest.mark.parametrize("name", ["one", "mirrored"])
def test_a_stop_between_chunks_changes_nothing(name):
    asked = []

    def stop_requested() -> bool:
        asked.append(None)
        return len(asked) > 1

    experiment = build(tiny_config(changes={"train.chunk_steps": 2}))
    training = set_up(experiment, make_strategy(name), stop_requested)
    before = values_of(training)
    assert training.run(1) == 0
    assert len(asked) == 2
    assert_equal(values_of(training), before)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_variable_is_in_the_checkpoint(algorithm):
    experiment = build(tiny_config(algorithm))
    training = set_up(experiment, one_device())
    saved = {id(variable) for variable in training.state.trackables().values()}
    found = {id(variable): variable.name for variable in variables_within(training.state)}
    assert found.keys() == saved
    # Phi and the two moments of Adam for each variable of it, beside counters and rates.
    assert len(saved) >= 3 * len(experiment.initial.phi)


def test_a_meta_step_is_traced_once():
    experiment = build(tiny_config())
    traces = []

    def sample(key):
        traces.append(key)
        return experiment.source.sample(key)

    training = set_up(
        experiment._replace(source=experiment.source._replace(sample=sample)), one_device()
    )
    training.run(1)
    after_first = len(traces)
    for num_steps in (1, 2, 5, 3):
        training.run(num_steps)
    assert len(traces) == after_first > 0


def test_bursts_do_not_change_the_numbers():
    training = tiny_training()[1]
    start = values_of(training)
    training.run(7)
    at_once = values_of(training)
    set_values(training, start)
    for num_steps in (1, 4, 2):
        training.run(num_steps)
    assert_equal(values_of(training), at_once)


def test_keys_depend_on_seed_step_and_task_alone():
    root = root_key(3, "train_tasks")
    whole = task_keys(root, tf.constant(5, tf.int64), 0, 4).numpy()
    halves = [task_keys(root, tf.constant(5, tf.int64), first, 2).numpy() for first in (0, 2)]
    np.testing.assert_array_equal(np.concatenate(halves), whole)
    np.testing.assert_array_equal(fold_in(fold_in(root, "meta_step", 5), "task", 2), whole[2])
    many = [
        tuple(key)
        for seed in (3, 4)
        for step in range(5)
        for key in task_keys(root_key(seed, "train_tasks"), tf.constant(step), 0, 4).numpy()
    ]
    assert len(set(many)) == 40
