"""A batch in which each row has its own tensors equals the rows one by one."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink.backbones.row_wise import row_wise
from tests.backbones.sources import small_convnet

ROWS = 5


def mixed_and_one_by_one(model: keras.Model, own: list[str], inputs: np.ndarray, count: int = ROWS):
    """Outputs of the batch, and of its rows, with random tensors of the layers in `own`."""
    rng, layers = np.random.default_rng(1), [model.get_layer(name) for name in own]
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    shared = {v.path: tf.constant(v.numpy()) for v in variables}
    moving = {v.path for layer in layers for v in layer.variables}
    adapters = {
        v.path: np.stack([v.numpy() + rng.uniform(0, 0.3, v.shape) for _ in range(3)])
        for v in variables
        if v.path in moving
    }
    adapters = {name: tf.constant(value, tf.float32) for name, value in adapters.items()}
    split = len(model.trainable_variables)

    def forward(given, adapter):
        values = [adapter.get(path, value) for path, value in shared.items()]
        theta, state = values[:split], values[split:]
        return {"outputs": model.stateless_call(theta, state, given["x"], training=False)[0]}

    index, inputs = np.array([2, 0, 1, 1, 0], np.int32)[:count], inputs[:count]
    # Batches of any size, as an export traces them: tf.vectorized_map does otherwise there.
    any_size = tf.nest.map_structure(
        lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype),
        ({"x": tf.constant(inputs)}, tf.constant(index), adapters),
    )
    served = tf.function(row_wise(forward), autograph=False, input_signature=any_size)
    mixed = served({"x": tf.constant(inputs)}, tf.constant(index), adapters)
    rows = [
        forward({"x": inputs[r : r + 1]}, {k: v[index[r]] for k, v in adapters.items()})["outputs"]
        for r in range(count)
    ]
    return mixed["outputs"].numpy(), np.concatenate(rows)


@pytest.mark.parametrize("own", [["output"], ["conv_1", "bn_1"], ["conv_0", "bn_0", "output"]])
@pytest.mark.parametrize("downsampling", ["stride", "pool"])
def test_convnet_rows(own, downsampling):
    model = small_convnet(downsampling=downsampling)
    inputs = np.random.default_rng(0).uniform(0, 255, [ROWS, 8, 8, 1]).astype(np.float32)
    mixed, rows = mixed_and_one_by_one(model, own, inputs)
    np.testing.assert_allclose(mixed, rows, atol=2e-6 * np.abs(rows).max())


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv1D(4, 3, padding="causal", dilation_rate=2, name="own"),
        keras.layers.Conv1D(4, 2, padding="same", strides=3, name="own"),
        keras.layers.Conv1D(4, 4, padding="valid", use_bias=False, activation="relu", name="own"),
        keras.layers.Dense(4, name="own"),
        keras.layers.LayerNormalization(name="own"),
    ],
)
def test_layers_over_time(layer):
    x = keras.Input((12, 3))
    model = keras.Model(x, layer(keras.layers.Conv1D(3, 3, name="shared")(x)))
    inputs = np.random.default_rng(0).normal(size=[ROWS, 12, 3]).astype(np.float32)
    mixed, rows = mixed_and_one_by_one(model, ["own"], inputs)
    np.testing.assert_allclose(mixed, rows, atol=1e-5)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_uneven_convolutions(padding, dilation):
    x = keras.Input((9, 7, 2))
    options = {"padding": padding, "dilation_rate": dilation, "strides": 3 - dilation}
    model = keras.Model(x, keras.layers.Conv2D(3, (3, 2), name="own", **options)(x))
    inputs = np.random.default_rng(0).normal(size=[ROWS, 9, 7, 2]).astype(np.float32)
    mixed, rows = mixed_and_one_by_one(model, ["own"], inputs)
    np.testing.assert_allclose(mixed, rows, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv2D(4, 3, groups=2, name="own"),
        keras.layers.DepthwiseConv2D(3, padding="same", name="own"),
        keras.layers.SeparableConv2D(3, 3, name="own"),
        keras.layers.Conv2DTranspose(3, 3, name="own"),
    ],
)
def test_layers_without_a_rule(layer):
    x = keras.Input((6, 6, 2))
    model = keras.Model(x, layer(x))
    inputs = np.random.default_rng(0).normal(size=[ROWS, 6, 6, 2]).astype(np.float32)
    mixed, rows = mixed_and_one_by_one(model, ["own"], inputs)
    np.testing.assert_allclose(mixed, rows, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_a_batch_of_one(count):
    model = small_convnet()
    inputs = np.ones([ROWS, 8, 8, 1], np.float32)
    mixed, rows = mixed_and_one_by_one(model, ["conv_1"], inputs, count)
    np.testing.assert_allclose(mixed, rows, atol=1e-5)
