"""WaveNet: its modules and their order, its maths against NumPy, what it hears, derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ModuleRegistry, UsageError, cross_entropy, negative_log_likelihood
from meta_shrink.keras_model import apply_model
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.models import wavenet
from meta_shrink.pitch import pitch_lags
from tests.problems import parameters, precision_of

SIZES = {"samples": 24, "frames": 3, "features": 4, "channels": 3, "gate": 5, "skip": 4}


def small(cycles: int = 1, dtype: str = "float64", **options):
    with precision_of(dtype):
        return wavenet(seed=0, cycles=cycles, **SIZES | options)


def inputs_of(batch: int, *, speakers: int = 0, dtype: str = "float64", samples: int = 24):
    rng = np.random.default_rng(1)
    codes = tf.constant(rng.integers(0, 256, [batch, samples]), tf.int32)
    told = [tf.constant(rng.normal(size=[batch, 3, 4]), dtype)]
    if speakers:
        told.append(tf.constant(rng.integers(0, speakers, [batch]), tf.int32))
    return [codes, *told]


def test_the_paper_s_network_has_123_modules_in_network_order():
    registry = ModuleRegistry.by_layer(small(cycles=3))
    assert registry.num_modules == 123
    block = ["block_00_dilated", "block_00_condition", "block_00_skip", "block_00_residual"]
    assert registry.names[:7] == ("input", "input_skip", *block, "block_01_dilated")
    ends = ("block_29_dilated", "block_29_condition", "block_29_skip", "output_1", "output_2")
    assert registry.names[-5:] == ends
    assert sum(registry.sizes) == 771 + 16 + 30 * (70 + 50 + 24) + 29 * 18 + 20 + 1280
    # Variables keep Keras's order, each with the module of its own layer.
    for path, module in zip(registry.paths, registry.index, strict=True):
        assert path.rpartition("/")[0] == registry.names[module]


def test_a_network_of_many_voices_has_one_condition_more_a_block():
    registry = ModuleRegistry.by_layer(small(speakers=6, speaker_channels=2))
    assert registry.names[:6] == (
        "speaker", "input", "input_skip", "block_00_dilated", "block_00_condition",
        "block_00_speaker",
    )  # fmt: skip
    assert registry.num_modules == 1 + 2 + 10 * 5 - 1 + 2


def test_lags_by_hand():
    """16,000 samples a second: 150 Hz have a period of 106.7, of which 107 less 3; 512 at most."""
    f0 = np.array([150.0, 500.0, 100.0, 31.0, 20.0, 5000.0, 150.0])
    voiced = [1.0] * 6 + [0.0]
    features = np.stack([np.zeros(7), voiced, np.log(f0 / 150)], -1)[np.newaxis]
    lags = pitch_lags(tf.constant(features, tf.float32), 80)
    np.testing.assert_array_equal(lags, [[104, 29, 157, 512, 512, 1, 0]])


def a_period_ago(path: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Of each sample of a piece: what holds two samples more than one period of the next one."""
    hop, found = len(path) // len(told), np.zeros_like(path)
    for t in range(len(path)):
        voiced, log_f0 = told[t // hop, -2:]
        period = round(hop * 200 / (150 * np.exp(log_f0)))
        place = min(t + 1 - period + 2, t - 1)
        if voiced > 0 and place >= 0:
            found[t] = path[place]
    return found


def by_hand(values: dict[str, np.ndarray], codes, told, voice=None) -> np.ndarray:
    """One piece, sample after sample, as Fig. 12 draws it."""

    def affine(name, x):
        return x @ values[f"{name}/kernel"] + values[f"{name}/bias"]

    path = values["input/kernel"][codes] + values["input/bias"]
    total = affine("input_skip", path)
    for block in range(10):
        name, dilation = f"block_{block:02}", 2**block
        past = np.zeros_like(path)
        past[dilation:] = path[:-dilation] if dilation < len(path) else 0
        kernel = values[f"{name}_dilated/kernel"]
        x = past @ kernel[-2] + path @ kernel[-1] + values[f"{name}_dilated/bias"]
        if len(kernel) == 3:
            x = x + a_period_ago(path, told) @ kernel[0]
        x = x + np.repeat(affine(f"{name}_condition", told), len(codes) // len(told), axis=0)
        if voice is not None:
            x = x + affine(f"{name}_speaker", values["speaker/table"][voice])
        half = x.shape[1] // 2
        z = np.tanh(x[:, :half]) / (1 + np.exp(-x[:, half:]))
        total = total + affine(f"{name}_skip", z)
        if block < 9:
            path = path + affine(f"{name}_residual", z)
    return affine("output_2", np.maximum(affine("output_1", np.maximum(total, 0)), 0))


@pytest.mark.parametrize("pitch_blocks", [0, 4])
@pytest.mark.parametrize(("products", "speakers"), [(0, 0), (1, 0), (2, 3)])
def test_the_network_is_that_of_the_figure(products, speakers, pitch_blocks):
    model = small(products=products, speakers=speakers, pitch_blocks=pitch_blocks)
    theta = parameters(model, noise=0.1)
    names = ModuleRegistry.by_layer(model).paths
    values = {name: value.numpy() for name, value in zip(names, theta, strict=True)}
    given = inputs_of(2, speakers=speakers)
    found = apply_model(model)(theta, given)
    assert found.shape == (2, 24, 256)
    kernels = [values[f"block_{block:02}_dilated/kernel"] for block in range(10)]
    assert [len(kernel) for kernel in kernels] == [3] * pitch_blocks + [2] * (10 - pitch_blocks)
    for n in range(2):
        np.testing.assert_allclose(found[n], by_hand(values, *(x[n] for x in given)), atol=1e-12)


@pytest.mark.parametrize("pitch_blocks", [0, 10])
@pytest.mark.parametrize("sample", [0, 11, 23])
def test_a_sample_hears_itself_and_what_was_before(sample, pitch_blocks):
    """A cycle hears 1,023 samples back: here all of the piece, and nothing of what comes."""
    model = small(pitch_blocks=pitch_blocks)
    theta, (codes, told) = parameters(model, noise=0.1), inputs_of(1)
    other = codes.numpy()
    other[0, sample] = (other[0, sample] + 100) % 256
    forward = apply_model(model)
    changed = np.abs(forward(theta, [codes, told]) - forward(theta, [tf.constant(other), told]))[0]
    assert changed[:sample].max(initial=0) == 0
    assert changed[sample:].max(axis=1).min() > 0


@pytest.mark.parametrize(("native", "products"), [(False, 1), (True, 1), (False, 0), (True, 0)])
def test_hessian_vector_products_are_differences_of_gradients(native, products):
    model = small(speakers=3, products=products, pitch_blocks=3)
    theta = parameters(model, noise=0.1)
    nll = negative_log_likelihood(model, cross_entropy(), native=native)
    targets = tf.constant(np.random.default_rng(2).integers(0, 256, [2, 24]), tf.int32)
    batch = inputs_of(2, speakers=3), targets
    rng = np.random.default_rng(3)
    v = [tf.constant(rng.normal(size=x.shape)) for x in theta]

    @tf.function(autograph=False)
    def gradient(step: tf.Tensor):
        moved = [x + step * d for x, d in zip(theta, v, strict=True)]
        with tf.GradientTape() as tape:
            tape.watch(moved)
            loss = nll(moved, batch)
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, moved)]

    after, before = (gradient(tf.constant(step, tf.float64)) for step in (1e-6, -1e-6))

    @tf.function(autograph=False)
    def hessian_products():
        return hessian_vector_product(nll, theta, batch, native=native)(v)

    for product, more, less in zip(hessian_products(), after, before, strict=True):
        np.testing.assert_allclose(product, (more - less) / 2e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"samples": 25}, "samples=25"),
        ({"channels": 0}, "the sizes 4, 0"),
        ({"products": 3}, "products=3"),
        ({"pitch_blocks": 11}, "pitch_blocks=11 with 10 blocks and 4 features"),
        ({"pitch_blocks": -1}, "pitch_blocks=-1"),
        ({"pitch_blocks": 1, "samples": 3 * 155}, "155 samples a frame.*at most 154"),
        ({"pitch_blocks": 1, "features": 1}, "end in voiced and log_f0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, part):
    with pytest.raises(UsageError, match=part):
        small(**options)
