"""The warm start: it learns, it is a pure function, it is shared, and it can be stopped."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import DivergedError, Preempted, TaskSource, UsageError
from meta_shrink.models import convnet
from meta_shrink.rng import uniform
from meta_shrink.training import warm_start as warm_starts
from meta_shrink.training.warm_start import warm_start
from meta_shrink.types import Labelled

CLASSES = tf.random.stateless_uniform([6, 8, 8, 1], [1, 2], 0, 256, tf.int32)
QUIET = {"log": lambda line: None}


def draw(key, size):
    labels = uniform(key, "test", [size], 0, 6, tf.int32)
    return tf.gather(CLASSES, labels), labels


def unused(key):
    raise AssertionError("the warm start draws labelled examples only")


SOURCE = TaskSource(unused, unused, labelled=Labelled(6, draw))


def network():
    return convnet(seed=0, image_size=8, channels=1, classes=3, filters=4, blocks=2)


def start(model, **options):
    given = {"seed": 0, "steps": 60, "batch_size": 16, "learning_rate": 0.02, **QUIET, **options}
    return warm_start(model, given.pop("source", SOURCE), **given)


def test_it_learns_the_shared_layers_and_leaves_the_last_layer_at_zero():
    model, lines = network(), []
    before = [variable.numpy() for variable in model.variables]
    phi = start(model, log=lines.append)
    assert [value.shape for value in phi] == [v.shape for v in model.trainable_variables]
    assert np.abs(phi[0] - before[0]).max() > 0.01
    assert not np.any(phi[-1]) and not np.any(phi[-2])
    assert len(lines) == 5
    accuracies = [float(line.rpartition(" ")[2]) for line in lines]
    assert accuracies[-1] > accuracies[0] and accuracies[-1] > 0.5


def test_it_depends_on_its_arguments_alone():
    first, again, other = start(network()), start(network()), start(network(), seed=1)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(first[0] - other[0]).max() > 1e-3


def random_network(process: int = 0) -> keras.Model:
    """Keras takes other seeds for layers without one in every process."""
    keras.utils.set_random_seed(0)
    inside = keras.Sequential([keras.layers.Dense(9, "relu"), keras.layers.GaussianNoise(0.3)])
    layers = [keras.layers.Flatten(), keras.layers.Rescaling(1 / 255), inside]
    layers += [keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input([8, 8, 1]), *layers])
    for layer in (inside.layers[1], layers[3]):
        layer.seed_generator.state.assign([process, 1])
    return model


def test_layers_that_draw_at_random_draw_by_the_seed_and_the_step():
    first, other = start(random_network()), start(random_network(), seed=1)
    assert np.abs(first[0] - other[0]).max() > 1e-3
    calls = iter(range(9))
    with pytest.raises(Preempted):
        start(random_network(1), stop_requested=lambda: next(calls) == 5)
    for a, b in zip(first, start(random_network(2)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_step_of_a_warm_start_has_its_own_noise(monkeypatch):
    seeds = []
    monkeypatch.setattr(
        warm_starts, "reseed", lambda model, key: seeds.append(tuple(key.numpy().tolist()))
    )
    start(random_network(), steps=4)
    assert len(set(seeds)) == 4


def test_the_source_s_augmentation_is_used():
    dark = SOURCE._replace(augment=lambda key, images: 0.0 * tf.cast(images, tf.float32))
    lines = []
    start(network(), source=dark, log=lines.append)
    assert "accuracy 0.1" in lines[-1] or "accuracy 0.2" in lines[-1]


def test_a_stop_request_is_heard():
    with pytest.raises(Preempted, match="warm start"):
        start(network(), stop_requested=lambda: True)


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"learning_rate": 0.0}, {"source": SOURCE._replace(labelled=None)}]
)
def test_refusals(options):
    with pytest.raises(UsageError, match=r"warm_start (got|needs)"):
        start(network(), **options)


def test_divergence_is_told():
    with pytest.raises(DivergedError, match="not finite"):
        start(network(), learning_rate=1e30)


def test_every_step_of_a_warm_start_draws_its_own_examples():
    drawn: list[tuple[int, ...]] = []

    def told(key, size):
        tf.py_function(lambda k: drawn.append(tuple(k.numpy())), [key], [])
        return draw(key, size)

    start(network(), steps=3, source=SOURCE._replace(labelled=Labelled(6, told)))
    assert len(set(drawn)) == len(drawn) == 3
