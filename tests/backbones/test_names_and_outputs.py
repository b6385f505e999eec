"""Exported models with odd names, several outputs and random layers: the way through a file."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import (
    Backbone,
    ExportSource,
    ModuleRegistry,
    negative_log_likelihood,
    save_backbone,
    squared_error,
)
from meta_shrink.adapters.backbone_info import ArraySpec, argument_name
from meta_shrink.backbones.source import output_names
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.enrolment.task_files import Examples
from meta_shrink.network_loss import STEP, key_of_noise, noisy
from tests.backbones.sources import source_of

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=[6, 3])


def exported(source: ExportSource, directory) -> Backbone:
    save_backbone(source, str(directory))
    return Backbone.load(str(directory))


def sum_of_squares(targets, outputs):
    """Squared error over all outputs of any structure."""
    pairs = zip(keras.tree.flatten(targets), keras.tree.flatten(outputs), strict=True)
    return sum(squared_error()(target, output) for target, output in pairs)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("conv_0/kernel", "conv_0__kernel"),
        ("conv-1/kernel", "conv_u2d_1__kernel"),
        ("block.0/bias", "block_u2e_0__bias"),
        ("1x1/kernel", "n_1x1__kernel"),
        ("a b", "a_u20_b"),
        ("größe", "gr_uf6__udf_e"),
        ("_x", "n__x"),
        ("self", "n_self"),
    ],
)
def test_arguments_have_letters_digits_and_underscores(name, argument):
    assert argument_name(name) == argument


def test_names_that_tensorflow_would_rewrite(tmp_path):
    parts = [layers.Dense(3, name=name) for name in ("conv-1", "1x1", "block.0")]
    model = keras.Sequential([keras.Input((3,), name="größe 1"), *parts])
    backbone = exported(source_of(model, ["conv-1", "block.0"], classification=False), tmp_path)
    assert [spec.name for spec in backbone.info.inputs] == ["größe 1"]
    outputs = backbone.predict({"größe 1": X})["outputs"]
    np.testing.assert_allclose(outputs, model(tf.constant(X, tf.float32)), rtol=1e-5)
    adapted = TaskAdaptation(backbone)(Examples({"größe 1": X}, X), steps=2)
    assert set(adapted.tensors) == {f"{n}/{v}" for n in ("conv-1", "block.0") for v in VARIABLES}


VARIABLES = ("kernel", "bias")


def two_calls() -> keras.Model:
    x, head = keras.Input((3,)), layers.Dense(3, name="head")
    return keras.Model(x, [head(x), head(head(x))])


def keyed() -> keras.Model:
    x, head = keras.Input((3,), name="x"), layers.Dense(3, name="head")
    return keras.Model(
        {"x": x}, {"near": head(x), "far": [head(head(x)), layers.Rescaling(2.0)(x)]}
    )


STRUCTURES = {
    "two calls of one head": (two_calls, ["head", "head_1"]),
    "dict": (keyed, ["far_0", "far_1", "near"]),
}


@pytest.mark.parametrize("kind", STRUCTURES)
def test_several_outputs_are_named_served_and_adapted(kind, tmp_path):
    make, names = STRUCTURES[kind]
    model = make()
    assert list(output_names(model)) == names
    source = source_of(model, ["head"], classification=False, sigma2=1e6, rate=0.01)
    specs = tuple(ArraySpec("", (3,), "float32") for _ in names)
    source = source._replace(targets=specs, example_loss=sum_of_squares)
    backbone = exported(source, tmp_path)
    (name,) = (spec.name for spec in backbone.info.inputs)
    served = backbone.predict({name: X})
    x = tf.constant(X, tf.float32)
    expected = keras.tree.flatten(model({"x": x} if kind == "dict" else x))
    for output, value in zip(names, expected, strict=True):
        np.testing.assert_allclose(served[output], value, rtol=1e-5)
    targets = {f"targets_{output}": RNG.normal(size=[6, 3]) for output in names}
    adapted = TaskAdaptation(backbone)(Examples({name: X}, targets), steps=1)
    params = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    flat = [tf.constant(targets[f"targets_{output}"], tf.float32) for output in names]
    structure = model({"x": x} if kind == "dict" else x)
    batch = ({"x": x} if kind == "dict" else x, keras.tree.pack_sequence_as(structure, flat))
    with tf.GradientTape() as tape:
        tape.watch(params)
        loss = negative_log_likelihood(model, sum_of_squares)(params, batch)
    kernel, _ = tape.gradient(loss, params)
    np.testing.assert_allclose(
        adapted.tensors["head/kernel"], params[0] - 0.01 * kernel, rtol=1e-3, atol=1e-5
    )


def test_a_layer_that_is_called_like_the_model_keeps_its_name():
    x = keras.Input((3,))
    functional = keras.Model(x, layers.Dense(2, name="net")(x), name="net")
    sequential = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="net")], name="net")
    sequential.add(layers.Dense(2, name="last"))
    assert ModuleRegistry.by_layer(functional).names == ("net",)
    assert ModuleRegistry.by_layer(sequential).names == ("net", "last")


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int64"])
def test_labels_and_inputs_as_numpy_makes_them(dtype, tmp_path):
    model = keras.Sequential([keras.Input((3,), name="x"), layers.Dense(2, name="head")])
    backbone = exported(source_of(model, ["head"]), tmp_path)
    labels, adapt = np.array([0, 1, 0, 1, 1, 0]), TaskAdaptation(backbone)
    plain = adapt(Examples({"x": X.astype(np.float32)}, labels.astype(np.int32)), steps=2)
    other = adapt(Examples({"x": X}, labels.astype(dtype)), steps=2)
    np.testing.assert_array_equal(other.tensors["head/kernel"], plain.tensors["head/kernel"])


def test_an_exported_network_adapts_with_the_noise_of_its_training(tmp_path):
    parts = [layers.Dense(3, name="head"), layers.Dropout(0.5), layers.Dense(2, name="last")]
    model = keras.Sequential([keras.Input((3,), name="x"), *parts])
    source = source_of(model, ["head"], classification=False, sigma2=1e6, rate=0.1)
    backbone, targets = exported(source, tmp_path), RNG.normal(size=[6, 2])
    adapted = TaskAdaptation(backbone)(Examples({"x": X}, targets), steps=1, seed=5)
    params = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    key = key_of_noise(tf.constant([5, 0]), STEP, 0)
    nll = noisy(negative_log_likelihood(model, squared_error()), key)
    with tf.GradientTape() as tape:
        tape.watch(params)
        loss = nll(params, (tf.constant(X, tf.float32), tf.constant(targets, tf.float32)))
    expected = params[0] - 0.1 * tape.gradient(loss, params)[0]
    np.testing.assert_allclose(adapted.tensors["head/kernel"], expected, rtol=1e-4, atol=1e-6)
    x = tf.constant(X, tf.float32)
    np.testing.assert_allclose(backbone.predict({"x": X})["outputs"], model(x), rtol=1e-5)
