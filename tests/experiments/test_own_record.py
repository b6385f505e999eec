"""A run goes on with a model that computes the same, and with no other of the same layers."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from meta_shrink import UsageError
from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.experiments import export_probe, own_record
from meta_shrink.runs.workdir import open_workdir
from meta_shrink.tasks.user_tasks import task_examples
from meta_shrink.types import Task

X = np.random.default_rng(0).normal(size=[12, 4])
TASKS = task_examples({"b": (X[::-1], X[:, 0]), "a": (X, X[:, 0])}, ["inputs"])
SPECS = [ArraySpec("inputs", (4,), "float32"), ArraySpec("targets", (1,), "float32")]


def network(seed=0, *, activation="tanh", rate=0.5, penalty=0.1, frozen=False, scale=2.0):
    keras.utils.set_random_seed(seed)
    first = layers.Dense(3, activation, name="first", trainable=not frozen)
    x = keras.Input((4,))
    hidden = layers.Dropout(rate)(first(layers.Rescaling(scale)(x)))
    last = layers.Dense(1, name="last", kernel_regularizer=keras.regularizers.L2(penalty))
    return keras.Model(x, last(hidden))


def recorded(model) -> dict:
    answers = own_record.answers_of(model, TASKS, SPECS)
    return {"model": {"layers": own_record.layers_of(model), "answers": answers}}


OTHERS = {
    "activation": {"activation": "relu"},
    "rate": {"rate": 0.4},
    "penalty": {"penalty": 0.2},
    "constant": {"scale": 2.1},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_model_that_computes_otherwise_is_refused(kind, tmp_path):
    with open_workdir(str(tmp_path), recorded(network()), log=lambda _: None):
        pass
    other = recorded(network(**OTHERS[kind]))
    with pytest.raises(UsageError, match="same layers that computes otherwise"):
        own_record.same_answers(str(tmp_path), other["model"]["answers"])


def test_where_phi_starts_does_not_count_and_rounding_neither(tmp_path):
    first = recorded(network())
    with open_workdir(str(tmp_path), first, log=lambda _: None):
        pass
    again = recorded(network(seed=1))
    np.testing.assert_allclose(again["model"]["answers"], first["model"]["answers"])
    near = [1.001 * answer for answer in first["model"]["answers"]]
    assert own_record.same_answers(str(tmp_path), near) == first["model"]["answers"]


def test_weights_that_do_not_learn_count(tmp_path):
    with open_workdir(str(tmp_path), recorded(network(frozen=True)), log=lambda _: None):
        pass
    own_record.same_answers(str(tmp_path), recorded(network(frozen=True))["model"]["answers"])
    with pytest.raises(UsageError, match="weights in what does not learn"):
        answers = own_record.answers_of(network(1, frozen=True), TASKS, SPECS)
        own_record.same_answers(str(tmp_path), answers)


@pytest.mark.parametrize("names", [("voice", "audio"), ("audio", "voice")])
def test_the_integers_of_a_probe_are_those_of_the_integer_input(names):
    """Whatever the order of names: 3 is the largest voice, and 900 is no voice."""
    voice, audio = (
        keras.Input((), name=names[0], dtype="int32"),
        keras.Input((1,), name=names[1]),
    )
    both = layers.Concatenate()([layers.Embedding(4, 2)(voice), audio])
    inputs = {names[0]: tf.constant([1, 3]), names[1]: tf.constant([[900.0], [2.0]])}
    batch = inputs, tf.zeros([2, 1])
    experiment = SimpleNamespace(
        model=keras.Model([voice, audio], layers.Dense(1)(both)),
        config={"seed": 0},
        source=SimpleNamespace(sample=lambda key: Task(batch, batch, key)),
        adapt=SimpleNamespace(next_batch=lambda task, step: task.train),
    )
    assert export_probe._Seen(experiment).integers() == 4  # pyright: ignore[reportArgumentType]
