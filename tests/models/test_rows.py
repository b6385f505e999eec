"""Networks whose examples see each other are refused by the layer in which they do."""

from __future__ import annotations

from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from meta_shrink import UsageError
from meta_shrink.models.row_refusals import check_rows
from tests.models.keras_layers import CASES
from tests.models.keras_layers import network as network_of
from tests.models.test_every_layer import MEASURED, batch_of

layers = keras.layers
ROWS = np.random.default_rng(0).uniform(0.5, 2.0, [6, 4]).astype("float32")


def network(*parts, batch: int | None = None, last: str = "glorot_uniform") -> keras.Model:
    x = hidden = keras.Input((4,), batch_size=batch)
    for part in (layers.Dense(4, "tanh", name="first"), *parts):
        hidden = part(hidden)
    return keras.Model(x, layers.Dense(2, kernel_initializer=last, name="last")(hidden))


class InTraining(layers.Layer):
    """Over the batch in training mode alone, as a normalisation without running averages."""

    def call(self, x, training=None):
        """Divided by the batch's largest number."""
        return x / ops.max(ops.abs(x), axis=0) if training else x


class Attention(layers.Layer):
    """The examples of a batch are each other's keys and values."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.MultiHeadAttention(1, 4, name="keys")

    def build(self, shape):
        """Of a batch of one sequence."""
        self.inner.build((1, *shape), (1, *shape))

    def call(self, x):
        """Every example from all."""
        return self.inner(x[None], x[None])[0]


class Own(keras.Model):
    """A model that does not tell its inputs."""

    def __init__(self):
        super().__init__()
        self.odd, self.last = layers.Lambda(MIXED["mean"], name="odd"), layers.Dense(2)

    def call(self, x):
        """The last layer of what the other mixes."""
        return self.last(self.odd(x))


MIXED = {
    "mean": lambda x: x - ops.mean(x, axis=0, keepdims=True),
    "sum": lambda x: ops.add(x, ops.sum(x, axis=0)),
    "earlier examples": lambda x: ops.cumsum(x, axis=0),
    "the next example": lambda x: ops.roll(x, -1, axis=0),
    "order": lambda x: ops.sort(x, axis=0),
    "rank": lambda x: ops.cast(ops.argsort(ops.argsort(x, axis=0), axis=0), "float32"),
    "one for all": lambda x: x * 0 + x[:1],
}
REFUSED = {
    **{
        name: (lambda f=f: network(layers.Lambda(f, name="odd")), "in layer 'odd'")
        for name, f in MIXED.items()
    },
    "in training": (lambda: network(InTraining(name="odd")), "in layer 'odd'"),
    "attention": (lambda: network(Attention(name="odd")), "in layer 'odd'"),
    "an operation": (lambda: network(MIXED["mean"]), "in front of layer 'last'"),
    "the last operation": (
        lambda: keras.Model(x := keras.Input((4,)), MIXED["mean"](layers.Dense(2)(x))),
        "behind its last layer",
    ),
    "inside a model": (
        lambda: network(
            keras.Sequential([keras.Input((4,)), layers.Lambda(MIXED["sum"], name="odd")])
        ),
        "in layer 'odd'",
    ),
    "a last layer of zeros": (
        lambda: network(layers.Lambda(MIXED["mean"], name="odd"), last="zeros"),
        "in layer 'odd'",
    ),
    "a batch of one size": (
        lambda: network(layers.Lambda(MIXED["mean"], name="odd"), batch=9),
        "in layer 'odd'",
    ),
    "beside batch normalisation": (
        lambda: network(layers.BatchNormalization(), layers.Lambda(MIXED["mean"], name="odd")),
        "in layer 'odd'",
    ),
    "subclassed": (Own, "in layer 'odd'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_examples_that_see_each_other_are_refused(kind):
    make, where = REFUSED[kind]
    model = make()
    model(tf.constant(ROWS[:1] if kind != "a batch of one size" else np.resize(ROWS, [9, 4])))
    with pytest.raises(UsageError, match=f"from the other examples of its batch, first {where}:"):
        check_rows(model, tf.constant(ROWS))
    assert all("call" not in vars(layer) for layer in model._flatten_layers())


TAKEN = {
    "batch normalisation": lambda: network(layers.BatchNormalization()),
    "noise": lambda: network(layers.Dropout(0.5), layers.GaussianNoise(1.0)),
    "a batch of one size": lambda: network(batch=2),
    "not a number": lambda: network(layers.Lambda(lambda x: ops.log(x - 3.0))),
    "infinity": lambda: network(layers.Lambda(lambda x: x + np.inf)),
    "half numbers": lambda: network(layers.Dense(30, dtype="mixed_bfloat16")),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_examples_by_themselves_are_taken(kind):
    check_rows(TAKEN[kind](), tf.constant(ROWS))


# Keras itself takes the loudest of the batch for the floor of every spectrogram, and TensorFlow's
# cumulative_logsumexp goes along the first axis. The condition is one of the batch's sum.
MIXING = ("MelSpectrogram", "function sort", "function condition")


@pytest.mark.parametrize("name", MEASURED)
def test_every_layer_of_keras_computes_examples_by_themselves(name):
    keras.utils.set_random_seed(0)
    case = CASES[name]
    refused = pytest.raises(UsageError, match="in layer") if name in MIXING else nullcontext()
    with refused:
        check_rows(network_of(case), batch_of(case, 4)[0])
