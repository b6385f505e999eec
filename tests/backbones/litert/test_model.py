"""LiteRT files in ai-edge-litert against the same network in memory."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError
from meta_shrink.backbones.litert.model import litert_model
from meta_shrink.backbones.writing import default_arrays
from meta_shrink.models import mlp
from tests.backbones.litert.litert_sources import (
    EXAMPLES,
    WAYS,
    adapted_by_keras,
    arguments_of,
    by_keras,
    by_name,
    images,
    interpreter_of,
    labels,
    loss_of,
    network,
    operations,
    run,
    some_adapter,
    variables_of,
)
from tests.backbones.sources import random_tensors, source_of

pytest.importorskip("ai_edge_litert")
# Quantisation -> largest error of the outputs as a share of the largest output. Measured: 3e-7,
# 9e-4, 1e-2.
SERVE_ERROR = {"none": 1e-5, "float16": 4e-3, "int8": 4e-2}
# Selected modules of a case -> operations that one step of its loop must have, exactly.
IN_THE_LOOP = {
    "head": {"CONV_2D": 0, "TRANSPOSE_CONV": 0},
    "last block": {"CONV_2D": 2, "TRANSPOSE_CONV": 0},  # forward, and gradient of the kernel
    "all": {"CONV_2D": 4, "TRANSPOSE_CONV": 1},  # no gradient of the images
}


@pytest.fixture(scope="module")
def source():
    return source_of(network(), ["conv_1", "bn_1", "output"])


@pytest.fixture(scope="module")
def content(source):
    return litert_model(source, examples=EXAMPLES)


@pytest.fixture(scope="module")
def with_adam():
    """(source, file) of the network with poolings, adapted by proximal Adam."""
    model = network(downsampling="pool")
    found = source_of(model, ["conv_0", "output"], optimizer={"name": "proximal_adam"}, rate=0.01)
    return found, litert_model(found, examples=EXAMPLES)


def test_serve_equals_the_network_for_any_batch(source, content):
    adapter = some_adapter(source, 0)
    for count in (1, 7):
        expected = by_keras(source, {"images": images(count)}, adapter)
        got = run(content, "serve", images=images(count), **arguments_of(adapter))["outputs"]
        np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())


def test_default_adapter_is_phi(source, content):
    got = by_name(source, run(content, "default_adapter"))
    phi = dict(zip(source.registry.paths, source.meta.phi, strict=True))
    np.testing.assert_array_equal(got["conv_1/kernel"], phi["conv_1/kernel"])
    np.testing.assert_array_equal(got["bn_0/moving_mean"], source.state[0])


def test_quantised_files_are_smaller_and_close(capsys):
    source = source_of(network(), ["output"])
    adapter = some_adapter(source, 0)
    expected = by_keras(source, {"images": images(5)}, adapter)
    contents = {name: litert_model(source, quantise=name) for name in SERVE_ERROR}
    for name, content in contents.items():
        got = run(content, "serve", images=images(5), **arguments_of(adapter))["outputs"]
        error = np.abs(got - expected).max() / np.abs(expected).max()
        with capsys.disabled():
            print(f" [{name}: {len(content):,} bytes, error {error:.1e}]", end="")
        assert error < SERVE_ERROR[name]
    assert len(contents["int8"]) < len(contents["float16"]) < len(contents["none"]) - 4000


def test_adapters_are_swapped_by_arguments(source, content):
    serve = interpreter_of(content).get_signature_runner("serve")
    first, second = (arguments_of(some_adapter(source, seed)) for seed in (0, 1))
    answers = [serve(images=images(2), **adapter)["outputs"] for adapter in (first, second, first)]
    np.testing.assert_array_equal(answers[0], answers[2])
    assert np.abs(answers[0] - answers[1]).max() > 1e-2


def test_adapt_equals_adaptation(source, content):
    start = variables_of(source, by_name(source, run(content, "default_adapter")))
    task = {"images": images(EXAMPLES), "targets": labels()}
    got = by_name(source, run(content, "adapt", num_steps=np.int32(5), **task, **start))
    expected = adapted_by_keras(source, images(EXAMPLES), labels(), 5)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, atol=1e-4, err_msg=name)
    assert np.abs(got["conv_1/kernel"] - start["conv_1__kernel"]).max() > 1e-3


@pytest.mark.parametrize("case", ["gradient descent", "adam"])
def test_long_adaptation_reaches_the_same_loss(case, source, content, with_adam):
    """By loss: a ReLU that rounding flips sends long adaptations apart (PLATFORM.md, section 5)."""
    source, content = with_adam if case == "adam" else (source, content)
    start = variables_of(source, by_name(source, run(content, "default_adapter")))
    task = {"images": images(EXAMPLES), "targets": labels()}
    got = by_name(source, run(content, "adapt", num_steps=np.int32(50), **task, **start))
    expected = adapted_by_keras(source, images(EXAMPLES), labels(), 50)
    mine, theirs, before = (
        loss_of(source, images(EXAMPLES), labels(), adapter) for adapter in (got, expected, {})
    )
    assert mine == pytest.approx(theirs, abs=1e-3)
    assert mine < before / 2
    assert all(np.isfinite(value).all() for value in got.values())


def test_no_step_leaves_the_variables(source, content):
    start = variables_of(source, some_adapter(source, 0))
    task = {"images": images(EXAMPLES), "targets": labels()}
    got = run(content, "adapt", num_steps=np.int32(0), **task, **start)
    for name, value in start.items():
        np.testing.assert_array_equal(got[name], value)


def test_two_calls_go_on_where_one_would(source, content):
    start = variables_of(source, by_name(source, run(content, "default_adapter")))
    task = {"images": images(EXAMPLES), "targets": labels()}
    once = run(content, "adapt", num_steps=np.int32(6), **task, **start)
    half = run(content, "adapt", num_steps=np.int32(3), **task, **start)
    half = {name: half[name] for name in start}
    twice = run(content, "adapt", num_steps=np.int32(3), **task, **half)
    for name, value in once.items():
        np.testing.assert_allclose(twice[name], value, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("case", IN_THE_LOOP)
def test_a_step_computes_what_selected_modules_need_only(case, content):
    if case != "last block":
        modules = ["output"] if case == "head" else ["conv_0", "bn_0", "conv_1", "bn_1", "output"]
        content = litert_model(source_of(network(), modules), examples=EXAMPLES)
    parts = operations(content)
    (body,) = (count for name, count in parts.items() if "body" in name)
    assert {name: body[name] for name in IN_THE_LOOP[case]} == IN_THE_LOOP[case]
    assert all(count["CUSTOM"] == 0 for count in parts.values())
    assert all(count["VAR_HANDLE"] == 0 for count in parts.values())


def test_bfloat16_layers_are_exported_in_float32():
    model = network(precision="bfloat16")
    found = source_of(model, ["conv_1", "output"])
    content = litert_model(found, examples=EXAMPLES)
    assert model.get_layer("conv_0").compute_dtype == "bfloat16"
    same = source_of(network(), ["conv_1", "output"])
    adapter = some_adapter(same, 0)
    expected = by_keras(same, {"images": images(2)}, adapter)
    got = run(content, "serve", images=images(2), **arguments_of(adapter))["outputs"]
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())


def test_dense_network_with_a_rate_per_parameter():
    model = mlp(seed=0, inputs=2, outputs=1, hidden=[8])
    rates = [tf.math.log(tf.random.stateless_uniform(v.shape, [1, 2]) * 0.1) for v in model.weights]
    found = source_of(model, ["layer_1", "layer_2"], classification=False)
    found = found._replace(meta=found.meta._replace(log_alpha=rates))
    content = litert_model(found, examples=4)
    x = np.random.default_rng(0).standard_normal([4, 2]).astype("float32")
    y = np.sin(x[:, :1])
    start = variables_of(found, by_name(found, run(content, "default_adapter")))
    got = run(content, "adapt", inputs=x, targets=y, num_steps=np.int32(20), **start)
    for name, value in adapted_by_keras(found, x, y, 20).items():
        np.testing.assert_allclose(by_name(found, got)[name], value, atol=1e-5, err_msg=name)


def dilated_network() -> keras.Model:
    """Causal convolutions with gates, as in WaveNet, a layer norm and an average over time."""
    inputs = keras.Input((32, 2), name="signal")
    features: Any = inputs
    for number in range(3):
        filters: Any = keras.layers.Conv1D(
            8, 2, dilation_rate=2**number, padding="causal", name=f"causal_{number}"
        )(features)
        gates = keras.ops.sigmoid(filters[..., 4:])
        features = keras.ops.multiply(keras.ops.tanh(filters[..., :4]), gates)
    features = keras.layers.LayerNormalization(name="norm")(features)
    pooled = keras.layers.GlobalAveragePooling1D(name="mean")(features)
    return keras.Model(inputs, keras.layers.Dense(WAYS, name="output")(pooled), name="dilated")


def test_dilated_causal_convolutions_adapt():
    found = source_of(dilated_network(), ["causal_0", "causal_2", "output"])
    content = litert_model(found, examples=EXAMPLES)
    x = np.random.default_rng(0).standard_normal([EXAMPLES, 32, 2]).astype("float32")
    start = variables_of(found, by_name(found, run(content, "default_adapter")))
    task = {"signal": x, "targets": labels()}
    got = by_name(found, run(content, "adapt", num_steps=np.int32(10), **task, **start))
    for name, value in adapted_by_keras(found, x, labels(), 10).items():
        np.testing.assert_allclose(got[name], value, atol=1e-4, err_msg=name)


def test_what_can_not_adapt_is_named_and_can_serve():
    inputs = keras.Input((8, 8, 2), name="images")
    features = keras.layers.DepthwiseConv2D(3, name="depthwise")(inputs)
    outputs = keras.layers.Dense(WAYS, name="output")(keras.layers.Flatten()(features))
    found = source_of(keras.Model(inputs, outputs), ["depthwise", "output"])
    with pytest.raises(UsageError, match="DepthwiseConv2dNativeBackpropFilter, perhaps for adap"):
        litert_model(found, examples=EXAMPLES)
    assert operations(litert_model(found))["serve"]["DEPTHWISE_CONV_2D"] == 1


def test_what_can_not_serve_is_named():
    inputs = keras.Input((4,), name="x")
    outputs = keras.layers.Dense(WAYS, name="output")(keras.ops.erf(inputs))
    with pytest.raises(UsageError, match=r"has not: Erf\."):
        litert_model(source_of(keras.Model(inputs, outputs), ["output"]))


def test_inputs_of_any_length_serve_but_do_not_adapt():
    inputs = keras.Input((None, 2), name="signal")
    features = keras.layers.Conv1D(4, 3, name="conv")(inputs)
    pooled = keras.layers.GlobalAveragePooling1D(name="mean")(features)
    outputs = keras.layers.Dense(WAYS, name="output")(pooled)
    found = source_of(keras.Model(inputs, outputs), ["output"])
    with pytest.raises(UsageError, match="signal has an axis of any length"):
        litert_model(found, examples=EXAMPLES)
    content = litert_model(found)
    adapter = random_tensors(default_arrays(found), 0)
    for length in (5, 11):
        x = np.random.default_rng(0).standard_normal([2, length, 2]).astype("float32")
        got = run(content, "serve", signal=x, **arguments_of(adapter))["outputs"]
        np.testing.assert_allclose(got, by_keras(found, {"signal": x}, adapter), atol=1e-5)


@pytest.mark.parametrize("options", [{"quantise": "int4"}, {"examples": -1}])
def test_bad_options_are_refused(options, source):
    with pytest.raises(UsageError):
        litert_model(source, **options)
