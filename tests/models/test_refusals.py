"""Networks that cannot be meta-learned right are refused when the loss is built."""

from __future__ import annotations

import re

import keras
import pytest
import tensorflow as tf

from meta_shrink import (
    ModuleRegistry,
    UsageError,
    fomaml,
    imaml,
    maml,
    negative_log_likelihood,
    reptile,
    sigma_reptile,
    squared_error,
)
from meta_shrink.network_loss import require_second_derivatives
from tests.models.functions import WRONG

layers = keras.layers


class OwnNoise(layers.Layer):
    """Draws from the generator that the argument names."""

    def __init__(self, draw, *, own: bool = False, **options):
        super().__init__(**options)
        self.draw = draw
        self.generator = keras.random.SeedGenerator(0) if own else None

    def call(self, x, training=None):
        """x and noise, in training."""
        return x + self.draw(self.generator) if training else x


class Always(layers.Layer):
    """Draws outside training too."""

    def __init__(self, **options):
        super().__init__(**options)
        self.generator = keras.random.SeedGenerator(0)

    def call(self, x):
        """x and noise."""
        return x + keras.random.normal((1,), seed=self.generator)


class Counting(layers.Layer):
    """Counts its calls."""

    def __init__(self, **options):
        super().__init__(**options)
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, x):
        """x."""
        self.calls.assign(self.calls + 1)
        return x + self.calls


def network(layer, shape=(6,)) -> keras.Model:
    inputs = keras.Input(shape)
    hidden = layer(layers.Dense(shape[-1], name="before")(inputs))
    return keras.Model(inputs, layers.Dense(2, name="last")(layers.Flatten()(hidden)))


def words(layer, dtype: str) -> keras.Model:
    inputs = keras.Input((3,), dtype=dtype)
    return keras.Model(
        inputs, layers.Dense(2)(layers.Flatten()(layers.Embedding(9, 2)(layer(inputs))))
    )


UNKNOWN = tf.Variable(tf.ones([6]))
REFUSED = {
    "noise of TensorFlow": (
        lambda: network(OwnNoise(lambda _: tf.random.normal([1]), name="odd")),
        "'odd' draws at random.*SeedGenerator",
    ),
    "noise of Keras's global generator": (
        lambda: network(OwnNoise(lambda _: keras.random.normal((1,)), name="odd")),
        "'odd' draws at random.*SeedGenerator",
    ),
    "noise of a fixed seed": (
        lambda: network(OwnNoise(lambda _: keras.random.uniform((1,), seed=3), name="odd")),
        "'odd' draws at random.*SeedGenerator",
    ),
    "noise at inference": (lambda: network(Always(name="odd")), "'odd' draws .*outside training"),
    "state": (lambda: network(Counting(name="odd")), "odd/calls is written"),
    "a variable in a function": (
        lambda: network(layers.Lambda(UNKNOWN.__add__, name="odd")),
        "'odd' reads a tf.Variable that Keras does not know",
    ),
    "a variable in a function of TensorFlow's": (
        lambda: network(layers.Lambda(tf.function(UNKNOWN.__add__), name="odd")),
        "'odd' reads a tf.Variable",
    ),
    "spectral norm": (
        lambda: network(layers.SpectralNormalization(layers.Dense(3), name="odd")),
        "odd/.* is written",
    ),
    "stateful recurrence": (
        lambda: keras.Sequential(
            [keras.Input((3, 4), batch_size=2), layers.GRU(3, stateful=True, name="odd")]
        ),
        "'odd' has stateful=True",
    ),
    "renormalisation": (
        lambda: network(layers.BatchNormalization(renorm=True, name="odd")),
        "'odd' has renorm=True",
    ),
    "constraint": (
        lambda: network(layers.Dense(3, kernel_constraint="max_norm", name="odd")),
        "odd/kernel has the constraint MaxNorm",
    ),
    "half variables": (
        lambda: network(layers.Dense(3, dtype="bfloat16", name="odd")),
        "odd/kernel is bfloat16.*mixed_bfloat16",
    ),
    "words": (
        lambda: words(layers.StringLookup(vocabulary=["a", "b"], name="odd"), "string"),
        "'odd' looks up a table",
    ),
    "numbers": (
        lambda: words(layers.IntegerLookup(vocabulary=[4, 7], name="odd"), "int64"),
        "'odd' looks up a table",
    ),
    "no first derivative": (
        lambda: network(layers.Lambda(tf.image.hsv_to_rgb, name="odd"), (4, 4, 3)),
        "'odd' has no derivative.*HSVToRGB",
    ),
    "a name with a space": (lambda: network(layers.Dense(3, name="an odd")), "'an odd' has a name"),
    "a name in another alphabet": (lambda: network(layers.Dense(3, name="é")), "'é' has a name"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_can_not_be_right_is_refused_by_name(kind):
    make, sentence = REFUSED[kind]
    with pytest.raises(UsageError, match=sentence):
        negative_log_likelihood(make(), squared_error())


@pytest.mark.parametrize("kind", WRONG)
def test_derivatives_that_are_left_out_are_refused(kind):
    model = network(layers.Lambda(WRONG[kind], output_shape=(4,), name="odd"), (4,))
    with pytest.raises(UsageError, match=f"'odd' has no derivative.*{kind}"):
        negative_log_likelihood(model, squared_error())


@pytest.mark.parametrize("place", ["learned", "in front"])
@pytest.mark.parametrize("function", [tf.numpy_function, tf.py_function])
def test_python_in_a_network_is_refused(function, place):
    def call(x):
        return tf.ensure_shape(function(lambda a: a + 1, [x], x.dtype), [None, 4])

    odd = layers.Lambda(call, output_shape=(4,), name="odd")
    model = network(odd, (4,))
    if place == "in front":
        inputs = keras.Input((4,))
        model = keras.Model(inputs, layers.Dense(2)(odd(inputs)))
    with pytest.raises(UsageError, match="'odd' calls Python"):
        negative_log_likelihood(model, squared_error())


def test_scales_that_keras_overwrites_are_refused():
    model = network(layers.Dense(16, name="odd"), (16,))
    model.get_layer("odd").quantize("float8")
    with pytest.raises(UsageError, match=r"odd/.*scale is a scale that Keras overwrites"):
        negative_log_likelihood(model, squared_error())


def test_a_layer_with_a_generator_of_its_own_is_taken():
    layer = OwnNoise(lambda generator: keras.random.normal((1,), seed=generator), own=True)
    assert negative_log_likelihood(network(layer), squared_error()).random


@pytest.mark.parametrize("layer", [layers.Hashing(9), layers.Discretization([1.0, 3.0])])
def test_preprocessing_without_a_table_is_taken(layer):
    dtype = "int64" if isinstance(layer, layers.Hashing) else "float32"
    assert not negative_log_likelihood(words(layer, dtype), squared_error()).random


def test_a_model_that_does_not_tell_its_inputs_is_checked_at_the_first_call():
    class Own(keras.Model):
        """Subclassed."""

        def __init__(self):
            super().__init__()
            self.last = layers.Dense(2)

        def call(self, x, training=None):
            """Noise of nobody's."""
            return self.last(x) + tf.random.normal([2])

    model = Own()
    batch = tf.zeros([3, 4]), tf.zeros([3, 2])
    model(batch[0])
    nll = negative_log_likelihood(model, squared_error())
    with pytest.raises(UsageError, match="draws at random"):
        nll([tf.convert_to_tensor(v.value) for v in model.trainable_variables], batch)


ONCE = {
    "LRNGrad": lambda x: tf.nn.local_response_normalization(x),
    "ResizeBilinearGrad": lambda x: tf.raw_ops.ResizeBilinear(images=x, size=[3, 5]),
    "SoftsignGrad": lambda x: tf.raw_ops.Softsign(features=x),
}
METHODS = {
    "maml": maml,
    "imaml": imaml,
    "sigma_reptile": sigma_reptile,
    "fomaml": fomaml,
    "reptile": reptile,
}


@pytest.mark.parametrize("operation", ONCE)
def test_one_derivative_is_enough_for_first_order_methods_alone(operation):
    model = network(layers.Lambda(ONCE[operation], name="odd"), (4, 4, 2))
    nll, registry = negative_log_likelihood(model, squared_error()), ModuleRegistry.by_layer(model)
    refused = []
    for name, method in METHODS.items():
        try:
            method(nll, registry)
        except UsageError as error:
            refused.append(name)
            sentence = f"Layer 'odd' has no second derivative .*{re.escape(operation)}"
            assert re.match(sentence, str(error))
    assert refused == ["maml", "imaml", "sigma_reptile"]


def test_what_is_taken_for_zero_behind_what_learns_only_does_not_matter():
    inputs = keras.Input((4, 4, 2))
    resized = layers.Lambda(ONCE["ResizeBilinearGrad"])(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(resized)))
    require_second_derivatives(negative_log_likelihood(model, squared_error()))
