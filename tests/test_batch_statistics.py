"""Inductive evaluation: moments of the training data, and a prediction that stands alone."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from meta_shrink import Task, negative_log_likelihood
from meta_shrink.evaluation import inductive_metric, transductive
from meta_shrink.keras_model import moments
from meta_shrink.losses import accuracy
from meta_shrink.models import convnet
from tests.problems import parameters

MODEL = convnet(seed=0, image_size=8, channels=1, classes=3, filters=4, blocks=2)
IMAGES = tf.random.stateless_uniform([12, 8, 8, 1], [1, 2], 0, 256, tf.int32)
LABELS = tf.range(12) % 3
TASK = Task((IMAGES[:6], LABELS[:6]), (IMAGES[6:], LABELS[6:]), tf.constant([0, 1]))


def test_moments_are_those_of_the_inputs():
    inputs = tf.random.stateless_normal([50, 4], [1, 2], mean=3.0, stddev=2.0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    mean, variance = moments(model, parameters(model), inputs)
    np.testing.assert_allclose(mean, inputs.numpy().mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, inputs.numpy().var(0), rtol=1e-4)
    assert model.layers[-1].momentum == 0.99


def test_training_data_are_normalised_as_in_adaptation():
    """On the training data themselves the inductive metric is the transductive one."""
    theta = parameters(MODEL, noise=0.3)
    task = TASK._replace(val=TASK.train)

    def outputs(target, output):
        return tf.reduce_sum(output**2 * tf.cast(target + 1, tf.float32)[:, tf.newaxis], 1)

    metric = negative_log_likelihood(MODEL, outputs)
    np.testing.assert_allclose(
        inductive_metric(MODEL, outputs)(theta, task), transductive(metric)(theta, task), rtol=1e-4
    )


def test_an_image_is_classified_whatever_stands_beside_it():
    theta = parameters(MODEL, noise=0.3)
    metric = inductive_metric(MODEL, accuracy())
    images, labels = TASK.val
    alone = [
        metric(theta, TASK._replace(val=(images[i : i + 1], labels[i : i + 1]))) for i in range(6)
    ]
    np.testing.assert_allclose(metric(theta, TASK), np.mean(alone), rtol=1e-6)


def test_moments_are_of_the_augmented_training_data():
    theta = parameters(MODEL, noise=0.3)
    seen = []

    def augment(key, images):
        seen.append((key.numpy().tolist(), images.shape))
        return tf.cast(images, tf.float32)

    inductive_metric(MODEL, accuracy(), augment)(theta, TASK)
    assert [shape for _, shape in seen] == [(6, 8, 8, 1)]
    assert seen[0][0] != TASK.key.numpy().tolist()


def test_a_held_out_metric_is_of_the_validation_data():
    """A model without parameters of its own: the metric is the mean of what it is given."""

    def target(theta, batch):
        return tf.reduce_mean(batch[1])

    task = Task((tf.zeros([2, 1]), tf.constant([1.0, 3.0])), (tf.zeros([1, 1]), tf.constant([7.0])),
                tf.constant([0, 1]))  # fmt: skip
    assert transductive(target)([], task) == 7.0


def test_inductive_moments_by_hand():
    """Training inputs -1 and 3: mean 1, variance 4. Validation 5 becomes (5 - 1) / 2 = 2."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization(epsilon=1e-9)])
    task = Task(
        (tf.constant([[-1.0], [3.0]]), tf.zeros([2, 1])),
        (tf.constant([[5.0], [7.0]]), tf.zeros([2, 1])),
        tf.constant([0, 1]),
    )
    found = inductive_metric(model, lambda target, output: output[:, 0])(parameters(model), task)
    np.testing.assert_allclose(found, (2.0 + 3.0) / 2, rtol=1e-5)
