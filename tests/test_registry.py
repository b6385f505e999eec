"""The module registry over every kind of Keras model."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ModuleRegistry, UsageError


def functional() -> keras.Model:
    inputs = keras.Input((2,), name="x")
    hidden = keras.layers.Dense(3, name="first")(inputs)
    hidden = keras.layers.BatchNormalization(name="norm")(hidden)
    return keras.Model(inputs, keras.layers.Dense(1, name="last")(hidden), name="net")


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="dense")], name="inner")
    return keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(3, name="dense"), inner], name="outer"
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.body = keras.layers.Dense(2, name="body")
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, inputs):
        return self.scale * self.body(inputs)


def test_layers_are_modules_in_network_order():
    registry = ModuleRegistry.by_layer(functional())
    assert registry.names == ("first", "norm", "last")
    assert registry.paths == (
        "first/kernel", "first/bias", "norm/gamma", "norm/beta", "last/kernel", "last/bias",
    )  # fmt: skip
    assert registry.shapes == ((2, 3), (3,), (3,), (3,), (3, 1), (1,))
    assert registry.index == (0, 0, 1, 1, 2, 2)
    assert registry.variable_sizes == (6, 3, 3, 3, 3, 1)
    assert registry.sizes == (9, 6, 4)
    assert registry.num_modules == 3
    np.testing.assert_allclose(registry.shares, [9 / 19, 6 / 19, 4 / 19])


def test_every_variable_a_module():
    registry = ModuleRegistry.by_variable(functional())
    assert registry.names == registry.paths
    assert registry.index == tuple(range(6))


def test_layers_of_the_same_name_in_nested_models_are_apart():
    registry = ModuleRegistry.by_layer(nested())
    assert registry.names == ("dense", "inner/dense")


def test_subclassed_model_with_a_weight_of_its_own():
    model = Subclassed()
    model(tf.zeros([1, 2]))
    registry = ModuleRegistry.by_layer(model)
    assert sorted(registry.names) == ["body", "scale"]
    assert sorted(registry.sizes) == [1, 6]
    assert registry.sizes[registry.position("scale")] == 1


def test_groups_by_pattern():
    patterns = {"head": "^last/kernel", "biases": "bias|norm", "rest": "first/kernel"}
    registry = ModuleRegistry.by_pattern(functional(), patterns)
    assert registry.names == ("rest", "biases", "head")
    assert registry.sizes == (6, 3 + 3 + 3 + 1, 3)


def test_spread_and_sum_are_transposes():
    registry = ModuleRegistry.by_layer(functional())
    spread = registry.spread(tf.constant([1.0, 10.0, 100.0]))
    np.testing.assert_array_equal(spread, [1, 1, 10, 10, 100, 100])
    per_variable = [tf.ones(shape) * (v + 1) for v, shape in enumerate(registry.shapes)]
    np.testing.assert_array_equal(registry.sum(per_variable), [6 + 2 * 3, 9 + 12, 15 + 6])


def unbuilt() -> keras.Model:
    return keras.Sequential([keras.layers.Dense(1)], name="net")


def without_weights() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Flatten()], name="net")


def repeated_names() -> keras.Model:
    class Twice(keras.Model):
        def __init__(self):
            super().__init__(name="twice")
            self.one, self.two = (keras.layers.Dense(1, name="same") for _ in range(2))

        def call(self, inputs):
            return self.one(inputs) + self.two(inputs)

    model = Twice()
    model(tf.zeros([1, 2]))
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (unbuilt, "not built"),
        (without_weights, "no trainable variables"),
        (repeated_names, "same/kernel"),
    ],
)
def test_models_that_can_not_be_registered(model, message):
    with pytest.raises(UsageError, match=message):
        ModuleRegistry.by_layer(model())


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"all": ".", "last": "last"}, "last/kernel.*all, last"),
        ({"dense": "first|last"}, "norm/gamma.*no module"),
        ({"all": ".", "typo": "lsat"}, "typo match no variable"),
    ],
)
def test_patterns_that_overlap_leave_out_or_match_nothing(patterns, message):
    with pytest.raises(UsageError, match=message):
        ModuleRegistry.by_pattern(functional(), patterns)


def test_unknown_module_and_unfit_parameters():
    registry = ModuleRegistry.by_layer(functional())
    with pytest.raises(UsageError, match=r"'lsat'.*first, norm, last"):
        registry.position("lsat")
    right = [tf.zeros(shape) for shape in registry.shapes]
    registry.check(right)
    for wrong in (right[:-1], [*right[:-1], tf.zeros([2])]):
        with pytest.raises(UsageError, match=r"trainable_variables order"):
            registry.check(wrong)
