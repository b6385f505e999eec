"""XLA and the task axis: "auto" chooses what works, and a choice is tried when it is built."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from configs import sinusoid
from meta_shrink import Task, TaskSource, UsageError, build, default_components
from meta_shrink.experiments import execution
from meta_shrink.experiments.execution import FEWEST_META_STEPS, use_xla
from meta_shrink.experiments.train import _opening
from meta_shrink.models import convnet, gaussian, mlp, wavenet
from tests.tiny_runs import tiny_config

LONG, SHORT = FEWEST_META_STEPS, FEWEST_META_STEPS - 1


class ConvertUnits(layers.Dense):
    """A dense layer, whatever its name says."""


class Powers(layers.Layer):
    """A loop that no recurrent layer is behind."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], input_shape[-1]), name="kernel")

    def call(self, inputs):
        return tf.while_loop(
            lambda n, _: n < 3, lambda n, x: (n + 1, x @ self.kernel), (tf.constant(0), inputs)
        )[1]


def network(*parts: layers.Layer, shape: tuple[int, ...] = (3,)):
    return keras.Sequential([keras.Input(shape), *parts, layers.Dense(1, name="last")])


def recurrent(layer: layers.Layer):
    return network(layer, shape=(4, 1))


NETWORKS = {
    "dense": (lambda: mlp(seed=0), True),
    "Gaussian": (lambda: gaussian(seed=0, dimensions=2), True),
    "dense, named like a convolution": (lambda: network(ConvertUnits(2)), True),
    "convolutions": (
        lambda: convnet(seed=0, image_size=8, channels=1, classes=2, filters=2, blocks=1),
        False,
    ),
    "dilated products": (
        lambda: wavenet(seed=0, samples=4, frames=2, features=1, channels=1, cycles=1),
        False,
    ),
    "many variables": (lambda: mlp(seed=0, hidden=[2] * 40), False),
    "GRU": (lambda: recurrent(layers.GRU(2)), False),
    "LSTM": (lambda: recurrent(layers.LSTM(2)), False),
    "two directions": (lambda: recurrent(layers.Bidirectional(layers.SimpleRNN(2))), False),
    "within a model": (lambda: network(recurrent(layers.GRU(2)), shape=(4, 1)), False),
    "a loop of one's own": (lambda: network(Powers()), False),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_auto_compiles_small_dense_networks_on_the_cpu(name):
    make, expected = NETWORKS[name]
    assert use_xla("auto", make(), LONG) == expected
    assert not use_xla("auto", make(), SHORT)


@pytest.mark.parametrize("name", ["dense", "convolutions", "GRU", "a loop of one's own"])
def test_on_an_accelerator_all_but_loops_are_compiled(name, monkeypatch):
    monkeypatch.setattr(execution, "on_accelerator", lambda: True)
    assert use_xla("auto", NETWORKS[name][0](), SHORT) == (name in ("dense", "convolutions"))


def test_a_choice_is_kept():
    model = NETWORKS["GRU"][0]()
    assert use_xla("on", model, SHORT) and not use_xla("off", mlp(seed=0), LONG)


def config_of(algorithm: str, **changes):
    config = sinusoid.get_config(algorithm).to_dict()
    config["model"]["hidden"], config["eval"]["groups"] = [2], {}
    config["train"] |= {"task_axis": "auto", **changes}
    return config


@pytest.mark.parametrize(
    ("algorithm", "changes", "jit", "axis"),
    [
        ("sigma_imaml", {}, True, "vectorized"),
        ("sigma_reptile", {"jit": "off"}, False, "sequential"),
        ("reptile", {"steps": SHORT}, False, "sequential"),
        ("reptile", {"steps": SHORT, "jit": "on"}, True, "vectorized"),
        ("maml", {}, True, "sequential"),
        ("maml", {"task_axis": "parallel"}, True, "parallel"),
        ("fomaml", {"task_axis": "vectorized", "jit": "off"}, False, "vectorized"),
    ],
)
def test_what_runs_how(algorithm, changes, jit, axis):
    experiment = build(config_of(algorithm, **changes))
    assert (experiment.jit, experiment.schedule.task_axis) == (jit, axis)
    line = _opening(experiment, experiment.schedule, 0)
    assert line.endswith(f"XLA {'on' if jit else 'off'}, tasks {axis}.")


def test_mini_batches_are_drawn_one_task_after_another():
    config = config_of("fomaml")
    config["adapt"]["batch_size"] = 5
    assert build(config).schedule.task_axis == "sequential"


def own(model: keras.Model, shape: tuple[int, ...], **train):
    """The experiment of a network and tasks of ten examples."""
    rng = np.random.default_rng(0)
    batch = tuple(tf.constant(rng.normal(size=[10, *s]), tf.float32) for s in (shape, (1,)))
    source = TaskSource(
        lambda key: Task(batch, batch, key), lambda index: Task(batch, batch, tf.stack([0, index]))
    )
    components = default_components()._replace(
        models={"own": lambda *, seed: model}, tasks={"own": lambda *, seed: source}
    )
    changes = {"model": {"name": "own"}, "task": {"name": "own"}}
    changes |= {"loss": {"name": "squared_error", "reduction": "mean"}}
    changes |= {f"train.{key}": value for key, value in train.items()}
    return build(tiny_config("sigma_imaml", changes), components)


NOT_VECTORISED = {
    "GRU": (lambda: recurrent(layers.GRU(2)), (4, 1)),
    "LSTM": (lambda: recurrent(layers.LSTM(2)), (4, 1)),
    "convolution": (lambda: network(layers.Conv1D(2, 2), layers.Flatten(), shape=(4, 1)), (4, 1)),
    "dropout": (lambda: network(layers.Dense(2), layers.Dropout(0.5)), (3,)),
}


@pytest.mark.parametrize("name", ["GRU", "convolution", "dropout"])
def test_a_network_that_cannot_be_one_batch_is_refused_at_build(name, capfd, caplog):
    make, shape = NOT_VECTORISED[name]
    with pytest.raises(UsageError, match=r"train\.task_axis='vectorized' cannot batch") as told:
        own(make(), shape, task_axis="vectorized", jit="off")
    assert len(str(told.value)) < 300 and "\n" not in str(told.value)
    assert caplog.text == "" and "op:" not in capfd.readouterr().err


@pytest.mark.parametrize("name", NOT_VECTORISED)
def test_auto_takes_the_tasks_of_such_a_network_one_after_another(name):
    make, shape = NOT_VECTORISED[name]
    assert own(make(), shape, task_axis="auto", jit="on").schedule.task_axis == "sequential"
