"""Every layer and activation of Keras: gradients and Hessian-vector products against differences.

Float64 where TensorFlow has it, otherwise float32 with a coarser difference. Networks are tiny;
the cases that take longest are marked slow.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import negative_log_likelihood, squared_error
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.network_loss import noisy, require_second_derivatives
from meta_shrink.params import dense
from tests.models.keras_layers import CASES, ELSEWHERE, NOT_A_NETWORK, Case, network
from tests.problems import precision_of

# Without kernels for float64, or with constants of float32 inside.
FLOAT32 = ("3D", "Resizing", "UpSampling2D", "MelSpectrogram", "AugMix", "RandAugment", "Rotation")
SLOW = ("3D", "ConvLSTM", "RandAugment", "AugMix", "Stacked", "Elastic", "Perspective", "CutMix")
SLOW += ("Contrast", "Equaliz", "lanczos5", "Shear", "Zoom", "Translation", "Erasing", "Hue")
SLOW += ("RNN", "GRU", "LSTM", "MelSpec", "STFT", "TimeDist")
SLOW += ("Saturation", "Jitter", "Blur", "MixUp", "Rotation", "Bidirectional", "GroupQuery")
QUICK = ("GRUCell", "STFTSpectrogram")


def _is_slow(name: str) -> bool:
    return name not in QUICK and any(part in name for part in SLOW)


MEASURED = [pytest.param(name, marks=pytest.mark.slow if _is_slow(name) else ()) for name in CASES]


def batch_of(case: Case, count: int = 3):
    """Examples from 0 to 1, or to 255 for pictures, or the numbers 0 to 4; targets [N, 2]."""
    rng, dtype = np.random.default_rng(0), keras.config.floatx()
    if case.dtype == "int32":
        inputs = tf.constant(rng.integers(0, 5, [count, *case.shape]), tf.int32)
    else:
        scale = 255 if case.dtype == "picture" else 1
        inputs = tf.constant(scale * rng.uniform(size=[count, *case.shape]), dtype)
    return inputs, tf.constant(rng.normal(size=[count, 2]), dtype)


def flat(values) -> np.ndarray:
    return np.concatenate([np.ravel(value) for value in values]).astype(np.float64)


def test_every_class_of_keras_has_a_case():
    named = {
        name
        for name in dir(keras.layers)
        if isinstance(getattr(keras.layers, name), type)
        and issubclass(getattr(keras.layers, name), keras.layers.Layer)
    }
    # A class under two names is one case.
    own = {name for name in named if getattr(keras.layers, name).__name__ == name}
    covered = {name.split(" ")[0] for name in CASES} | NOT_A_NETWORK | ELSEWHERE
    assert sorted(own - covered) == []


@pytest.mark.parametrize("name", MEASURED)
def test_derivatives_are_differences(name):
    case = CASES[name]
    coarse = any(part in name for part in FLOAT32)
    dtype, step, tolerance = ("float32", 3e-3, 5e-2) if coarse else ("float64", 1e-5, 1e-4)
    with precision_of(dtype):
        keras.utils.set_random_seed(0)
        model, batch = network(case), batch_of(case)
        nll = negative_log_likelihood(model, squared_error())
        nll_at_key = noisy(nll, tf.constant([1, 2]) if nll.random else None)
        values = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
        draws = [tf.random.stateless_normal(v.shape, [1, i]) for i, v in enumerate(values)]
        theta = [v + 0.1 * tf.cast(x, v.dtype) for v, x in zip(values, draws, strict=True)]
        draws = [tf.random.stateless_normal(v.shape, [3, i]) for i, v in enumerate(values)]
        vector = [tf.cast(x, v.dtype) for v, x in zip(values, draws, strict=True)]

        def at(distance: float):
            moved = [t + distance * v for t, v in zip(theta, vector, strict=True)]
            with tf.GradientTape() as tape:
                tape.watch(moved)
                loss = nll_at_key(moved, batch)
            gradient = tape.gradient(loss, moved, unconnected_gradients="zero")
            return float(loss), flat(dense(gradient))

        (up, gradient_up), (down, gradient_down) = at(step), at(-step)
        gradient = at(0.0)[1]
        product = flat(hessian_vector_product(nll_at_key, theta, batch)(vector))
    slope, expected = (up - down) / (2 * step), (gradient_up - gradient_down) / (2 * step)
    np.testing.assert_allclose(gradient @ flat(vector), slope, rtol=tolerance, atol=1e-6)
    scale = np.linalg.norm(expected)
    assert scale > 0 and np.linalg.norm(product - expected) < tolerance * scale


SECOND_ORDER = ("activation softsign", "UpSampling2D", "Resizing bicubic", "Resizing lanczos3")
SECOND_ORDER += ("Dropout", "LayerNormalization", "MultiHeadAttention", "SeparableConv2D")


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_what_is_right_is_not_refused(name):
    require_second_derivatives(negative_log_likelihood(network(CASES[name]), squared_error()))
