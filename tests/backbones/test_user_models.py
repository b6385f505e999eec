"""Any Keras model goes through export, adaptation, sealing and mixed serving."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import Backbone, UsageError, save_backbone
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.reading import parse_adapter
from meta_shrink.backbones.source import call_model, input_specs, split_adapter
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.enrolment.task_files import Examples
from tests.backbones.sources import source_of

layers = keras.layers


def mlp():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(8, "tanh"), layers.Dense(2)])
    return model, [model.layers[-1].name], False


def wavenet():
    x = wave = keras.Input((None, 1), name="wave")
    for number in range(3):
        options = {"padding": "causal", "dilation_rate": 2**number}
        both = layers.Conv1D(8, 2, name=f"dilated_{number}", **options)(x)
        gated = layers.Multiply()([layers.Activation("tanh")(both), layers.ReLU()(both)])
        x = layers.Add()([layers.Conv1D(8, 1, name=f"residual_{number}")(gated), both])
    return keras.Model(wave, layers.Dense(3, name="head")(x)), ["dilated_1", "head"], True


def recurrent():
    tokens = keras.Input((7,), dtype="int32", name="tokens")
    x = layers.Embedding(11, 6, name="embedding")(tokens)
    x = layers.GRU(5, name="gru")(x)
    return keras.Model(tokens, layers.Dense(3, name="head")(x)), ["embedding", "gru"], True


def attention():
    x = sequence = keras.Input((6, 8), name="sequence")
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.LayerNormalization(name="norm")(layers.Dropout(0.1)(x))
    x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(sequence, layers.Dense(3, name="head")(x))
    return model, ["attention/query", "norm", "head"], True


def depthwise():
    x = picture = keras.Input((8, 8, 3), name="picture")
    x = layers.SeparableConv2D(6, 3, padding="same", name="separable")(x)
    x = layers.BatchNormalization(name="norm")(layers.DepthwiseConv2D(3, name="depthwise")(x))
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(picture, layers.Dense(3, name="head")(x)), ["depthwise", "norm"], True


def two_inputs():
    audio, speaker = keras.Input((6,), name="audio"), keras.Input((2,), name="speaker")
    x = layers.Concatenate()([layers.Dense(4, name="first")(audio), speaker])
    return keras.Model([audio, speaker], layers.Dense(2, name="head")(x)), ["head"], False


def examples_of(model: keras.Model, classification: bool, count: int) -> Examples:
    rng, inputs = np.random.default_rng(0), {}
    for spec in input_specs(model):
        shape = [count, *(9 if size is None else size for size in spec.shape)]
        whole = np.issubdtype(spec.dtype, np.integer)
        inputs[spec.name] = rng.integers(0, 9, shape) if whole else rng.normal(size=shape)
        inputs[spec.name] = inputs[spec.name].astype(spec.dtype)
    shape = [9 if size is None else size for size in model.outputs[0].shape[1:]]
    if classification:
        return Examples(inputs, rng.integers(0, 3, [count, *shape[:-1]]).astype(np.int32))
    return Examples(inputs, rng.normal(size=[count, *shape]).astype(np.float32))


@pytest.mark.parametrize("make", [mlp, wavenet, recurrent, attention, depthwise, two_inputs])
def test_a_users_model(make, tmp_path):
    model, modules, classification = make()
    source = source_of(model, modules, classification=classification, rate=0.01)
    source = source._replace(probe_range=(0.0, 5.0))
    save_backbone(source, str(tmp_path))
    backbone = Backbone.load(str(tmp_path))
    assert backbone.info.mixed, backbone.info.mixed_reason
    adapt = TaskAdaptation(backbone)
    train, heldout = (examples_of(model, classification, count) for count in (6, 4))
    adapters = []
    for seed in range(2):
        adapted = adapt(train, heldout, seed=seed, steps=3 + seed, record=[0])
        assert len(adapted.curve) == 2
        content = backbone.seal(adapted.tensors, TaskFacts("", 6, adapted.steps, seed))
        adapters.append(parse_adapter(content, backbone.info))
        backbone.check(adapters[-1])
        alone = backbone.predict(heldout.inputs, adapters[-1])["outputs"]
        theta, state = split_adapter(
            source, {k: tf.constant(v) for k, v in adapted.tensors.items()}
        )
        memory = call_model(model, theta, state, heldout.inputs, training=False)["outputs"]
        np.testing.assert_allclose(alone, memory.numpy(), atol=1e-5)
    index = np.array([1, 0, 1, 1])
    mixed = backbone.predict_mixed(heldout.inputs, adapters, index)["outputs"]
    for row, number in enumerate(index):
        own = {name: value[row : row + 1] for name, value in heldout.inputs.items()}
        alone = backbone.predict(own, adapters[number])["outputs"]
        np.testing.assert_allclose(mixed[row : row + 1], alone, atol=1e-5)


class Subclassed(keras.Model):
    """Says nothing of its inputs."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, name="dense")

    def call(self, inputs):
        return self.dense(inputs)


def test_a_subclassed_model_is_told_what_to_do_and_then_works(tmp_path):
    model = Subclassed()
    model(np.zeros([1, 4], np.float32))
    with pytest.raises(UsageError, match="wrap it"):
        input_specs(model)
    x = keras.Input((4,))
    wrapped = keras.Model(x, model(x))
    name = wrapped.trainable_variables[0].path.rpartition("/")[0].removeprefix(f"{wrapped.name}/")
    save_backbone(source_of(wrapped, [name]), str(tmp_path))
    assert Backbone.load(str(tmp_path)).info.selected == (name,)


def test_clashing_names_are_refused(tmp_path):
    x = keras.Input((4,), name="targets")
    model = keras.Model(x, layers.Dense(3, name="head")(x))
    with pytest.raises(UsageError, match="rename"):
        save_backbone(source_of(model, ["head"]), str(tmp_path))


def test_where_rows_can_not_be_mixed_they_are_served_by_adapter(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("no rule for this operation")

    monkeypatch.setattr(tf, "vectorized_map", refuse)
    model, modules, _ = mlp()
    save_backbone(source_of(model, modules, classification=False), str(tmp_path))
    backbone = Backbone.load(str(tmp_path))
    assert not backbone.info.mixed and "no rule" in backbone.info.mixed_reason
    assert "no rule" in (tmp_path / "README.md").read_text()
    inputs = {"inputs": np.random.default_rng(0).normal(size=[5, 5]).astype(np.float32)}
    tensors = {k: v + 1 for k, v in backbone.default.tensors.items()}
    content = backbone.seal(tensors, TaskFacts("", 1, 1, 0))
    adapters = [backbone.default, parse_adapter(content, backbone.info)]
    index = np.array([1, 0, 0, 1, 0])
    mixed = backbone.predict_mixed(inputs, adapters, index)["outputs"]
    for row, number in enumerate(index):
        own = {"inputs": inputs["inputs"][row : row + 1]}
        alone = backbone.predict(own, adapters[number])["outputs"]
        np.testing.assert_allclose(mixed[row : row + 1], alone, atol=1e-6)
