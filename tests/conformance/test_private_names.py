"""What rests on private names of Keras and TensorFlow holds in every version that is supported."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ArtefactError, UsageError, negative_log_likelihood, squared_error
from meta_shrink.models import graphs, private_names
from meta_shrink.models.pure_call import mask_of
from meta_shrink.models.refusals import check_network, check_second_derivatives

layers = keras.layers


class Calls(layers.Layer):
    """A layer made of a function."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def network(*parts) -> keras.Model:
    return keras.Sequential([keras.Input((4, 2)), *parts, layers.Dense(1, name="last")])


def in_a_function(function):
    """Inside a function that the graph calls, where only its definition tells what is in it."""
    return Calls(tf.function(function, autograph=False), name="odd")


UNKEYED = {
    "stateful": lambda x: x + tf.random.normal([4, 2]),
    "stateless": lambda x: x + tf.random.stateless_normal([4, 2], [1, 2]),
}


@pytest.mark.parametrize("wrap", [lambda f: Calls(f, name="odd"), in_a_function])
@pytest.mark.parametrize("kind", UNKEYED)
def test_noise_without_a_seed_generator_is_refused(kind, wrap):
    with pytest.raises(UsageError, match=r"Layer 'odd' draws at random"):
        check_network(network(wrap(UNKEYED[kind])))


def test_layers_inside_others_and_their_seeds_are_found():
    inner = keras.Sequential([layers.Dense(2), layers.Dropout(0.5, name="drop")], name="inner")
    model = network(layers.TimeDistributed(inner, name="over_time"))
    names = [layer.name for layer in private_names.flat_layers(model)]
    assert {"over_time", "inner", "drop", "last"} <= set(names)
    drawing = [x for x in private_names.flat_layers(model) if private_names.seed_generators(x)]
    assert [layer.name for layer in drawing] == ["drop"]
    assert negative_log_likelihood(model, squared_error()).random


def test_masks_are_seen():
    model = network(layers.Masking(0.0))
    nll = negative_log_likelihood(model, lambda y, output: output[..., 0] ** 2)
    x = np.ones([1, 4, 2], np.float32)
    x[0, 1:] = 0.0
    kernel = tf.constant([[1.0], [2.0]])
    value = nll([kernel, tf.constant([1.0])], (tf.constant(x), tf.zeros([1])))
    np.testing.assert_allclose(value, 16.0)  # Of the first step alone: (1 + 2 + 1)^2.


def test_derivatives_that_are_taken_for_zero_are_refused_and_the_registry_is_left_as_it_was():
    before = dict(private_names.gradient_entries())
    glimpses = Calls(
        lambda x: tf.image.extract_glimpse(x[..., None], [2, 2], tf.zeros([tf.shape(x)[0], 2]))[
            ..., 0
        ],
        name="glimpse",
    )
    with pytest.raises(UsageError, match="glimpse"):
        check_network(network(layers.Dense(2), glimpses))
    assert private_names.gradient_entries() == before
    assert "ExtractGlimpse" in set(before) & set(graphs.NOT_ZERO)
    check_second_derivatives(network(layers.Dense(2, activation="tanh")))


def test_the_derivative_of_resizing_has_none_whether_declared_so_or_only_missing():
    """TensorFlow 2.17 does not know it at all, later versions declare it not differentiable."""
    resize = Calls(
        lambda x: tf.raw_ops.ResizeBilinear(images=x[..., None], size=[3, 5])[..., 0], name="resize"
    )
    with pytest.raises(UsageError, match="Layer 'resize' has no second derivative"):
        check_second_derivatives(network(layers.Dense(2), resize))


@pytest.mark.parametrize(
    ("owner", "name", "use"),
    [
        (keras.Layer, "_flatten_layers", lambda: check_network(network())),
        (private_names.ops, "gradient_registry", lambda: check_network(network())),
        (private_names.backend, "get_keras_mask", lambda: mask_of(tf.zeros([1]))),
    ],
)
def test_a_version_without_such_a_name_is_refused_in_one_sentence(owner, name, use, monkeypatch):
    monkeypatch.delattr(owner, name)
    with pytest.raises(ArtefactError, match=rf"{name}, without which .* setup\.py names"):
        use()
