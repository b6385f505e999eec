"""What could be trained and not exported is refused by ms.fit before; what can be, is exported."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

import meta_shrink as ms
from meta_shrink.adapters.header import parse_header
from tests.experiments.test_own_model import fit

layers = keras.layers
RNG = np.random.default_rng(0)
ONE = {f"task {n}": (RNG.normal(size=(6, 4)), RNG.normal(size=(6, 2))) for n in range(8)}
TWO = {name: ((x, x), y) for name, (x, y) in ONE.items()}


class ManyAxes(layers.Layer):
    """It learns one number in nine axes."""

    def build(self, shape):
        self.number = self.add_weight(shape=(1,) * 9, name="number")

    def call(self, x):
        return x * ops.reshape(self.number, (1, 1))


class Doubled(keras.Model):
    """A functional model with a call of its own, which takes no `training`."""

    def __init__(self):
        x = keras.Input((4,))
        last = layers.Dense(2, name="last")
        super().__init__(x, last(x))
        self.last = last

    def call(self, x):
        """Of the last layer."""
        return 2.0 * self.last(x) + 1.0


def two_inputs(name: str, *parts: layers.Layer) -> keras.Model:
    given = [keras.Input((4,), name=name), keras.Input((4,), name="other")]
    hidden = layers.Concatenate(name="both")(given)
    for part in (*parts, layers.Dense(2, name="o")):
        hidden = part(hidden)
    return keras.Model(given, hidden)


def inside() -> keras.Model:
    """The paths m/a/kernel and m__a/kernel."""
    x = keras.Input((4,))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="a")], name="m")
    return keras.Model(x, layers.Dense(2, name="m__a")(model(x)))


def first(layer: layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), layer, layers.Dense(2)])


def with_moments() -> keras.Model:
    return two_inputs("norm__moving_mean", layers.BatchNormalization(name="norm"))


REFUSED: dict[str, tuple[Callable[[], keras.Model], dict, str]] = {
    "adapter_index": (lambda: two_inputs("adapter_index"), TWO, "called adapter_index; rename"),
    "noise_key": (lambda: two_inputs("noise_key"), TWO, "called noise_key; rename"),
    "an input like a tensor": (lambda: two_inputs("o__kernel"), TWO, "called o__kernel; rename"),
    "an input like a moment": (with_moments, TWO, "called norm__moving_mean; rename"),
    "two layers": (inside, ONE, "called m__a__bias, m__a__kernel; rename"),
    "a long name": (
        lambda: first(layers.Dense(3, name="l" * 244)),
        ONE,
        r"can hold l{40}\.\.\., whose name has 251 characters.* 250 at most",
    ),
    "a name of two lines": (
        lambda: first(layers.Dense(3, name="a\nb")),
        ONE,
        r"can hold a\\nb/kernel\.\.\., .* a name of printable ones",
    ),
    "nine axes": (
        lambda: first(ManyAxes(name="odd")),
        ONE,
        "can hold odd/number, which has 9 axes: make it with 8 at most",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_export_can_name_is_refused_before_training(kind, tmp_path):
    make, tasks, words = REFUSED[kind]
    with pytest.raises(ms.UsageError, match=words):
        fit(tmp_path / "run", tasks, make())
    assert not (tmp_path / "run").exists()


@pytest.mark.programs
def test_the_longest_name_that_is_taken_is_exported(tmp_path):
    name = "l" * 243
    fitted = fit(tmp_path / "run", ONE, first(layers.Dense(3, name=name)), steps=1)
    backbone = fitted.export(tmp_path / "backbone", modules=[name], log=lambda _: None)
    task = backbone.default.manifest.task
    content = backbone.seal(backbone.default.tensors, task, encoding="int8_delta")
    names = {entry.name for entry in parse_header(content, "the file").entries}
    assert f"{name}/kernel:scale" in names and len(f"{name}/kernel:scale") == 256


@pytest.mark.programs
def test_a_call_without_the_argument_training_is_exported(tmp_path):
    model = Doubled()
    fitted = fit(tmp_path / "run", ONE, model, steps=1)
    assert np.isfinite(fitted.evaluate(log=lambda _: None)["schemes"][0]["mean"]).all()
    backbone = fitted.export(tmp_path / "backbone", modules=["last"], log=lambda _: None)
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    kernel, bias = (np.asarray(value) for value in fitted.meta.phi)
    expected = 2.0 * (x @ kernel + bias) + 1.0
    np.testing.assert_allclose(backbone.predict(x)["outputs"], expected, rtol=1e-5, atol=1e-5)
