"""Tasks of unequal size: a padded task is worth as much as the task itself, everywhere."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import (
    ModuleRegistry,
    Task,
    TaskSource,
    UsageError,
    cross_entropy,
    damped_solve,
    fomaml,
    make_adapt,
    maml,
    negative_log_likelihood,
    proximal_gd,
    reptile,
    sigma_reptile,
    squared_error,
)
from meta_shrink.adaptation import adaptation, random_batch
from meta_shrink.evaluation import inductive_metric
from meta_shrink.keras_model import moments
from meta_shrink.losses import accuracy
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.models.layers import BatchNorm
from meta_shrink.task_axis import TASK_AXES, draw_tasks
from meta_shrink.tasks.transforms import augment_validation, pad_batch, pad_tasks, train_on_all
from meta_shrink.training.meta_batch import make_core
from tests.problems import meta_params, parameters, precision_of

LAYERS = {
    "none": lambda: keras.layers.Activation("tanh"),
    "batch norm": lambda: keras.layers.BatchNormalization(momentum=0.5),
    "our batch norm": BatchNorm,
    "layer norm": keras.layers.LayerNormalization,
    "group norm": lambda: keras.layers.GroupNormalization(2),
}


def network(layer: str, outputs: int = 2) -> keras.Model:
    shape = (4, 4, 2)
    layers = [keras.Input(shape), keras.layers.Conv2D(4, 2), LAYERS[layer]()]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(outputs)])


def batch_of(count: int, seed: int = 0):
    """`count` pictures and their targets, others than those of another count."""
    rng = np.random.default_rng([seed, count])
    dtype = keras.config.floatx()
    pictures = tf.constant(rng.normal(size=[count, 4, 4, 2]) + 1, dtype)
    return pictures, tf.constant(rng.normal(size=[count, 2]), dtype)


def flat(values) -> np.ndarray:
    return np.concatenate([np.ravel(value) for value in tf.nest.flatten(values)])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weights_are_as_many_copies_of_an_example(reduction):
    model = network("none")
    nll = negative_log_likelihood(model, squared_error(), reduction=reduction)
    inputs, targets = batch_of(3)
    copies = [0, 0, 0, 2]  # four, where the batch has three examples
    repeated = (tf.gather(inputs, copies), tf.gather(targets, copies))
    weighted = nll(parameters(model), (inputs, targets, tf.constant([3.0, 0.0, 1.0])))
    np.testing.assert_allclose(weighted, nll(parameters(model), repeated), rtol=1e-6)


@pytest.mark.parametrize("weights", [[[1.0, 0.0], [0.5, 0.5]], [[0.0, 2.0], [0.0, 0.0]]])
def test_weights_of_steps_are_of_the_numbers_of_the_loss(weights):
    model = keras.Sequential([keras.Input((2, 3)), keras.layers.Dense(2)])
    x = tf.random.stateless_normal([2, 2, 3], [1, 2])
    losses = tf.reduce_sum(model(x) ** 2, -1)
    batch = (x, tf.zeros([2, 2, 2]), tf.constant(weights))
    mean = negative_log_likelihood(model, squared_error())(parameters(model), batch)
    np.testing.assert_allclose(mean, np.average(losses, weights=weights), rtol=1e-6)


def test_examples_count_alike_whatever_their_number_of_steps():
    model = keras.Sequential([keras.Input((2, 3)), keras.layers.Dense(2)])
    x = tf.random.stateless_normal([2, 2, 3], [1, 2])
    losses = np.mean(model(x) ** 2, axis=(1, 2)) * 2
    nll = negative_log_likelihood(model, squared_error())
    value = nll(parameters(model), (x, tf.zeros([2, 2, 2]), tf.constant([1, 3])))
    np.testing.assert_allclose(value, (losses[0] + 3 * losses[1]) / 4, rtol=1e-6)


def test_nothing_has_no_mean():
    model = network("none")
    inputs, targets = batch_of(3)
    nll = negative_log_likelihood(model, squared_error())
    assert np.isnan(nll(parameters(model), (inputs, targets, tf.zeros([3]))))


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_padded_batch_has_the_loss_gradient_and_hessian_of_its_own_examples(
    layer, reduction, native
):
    with precision_of("float64"):
        model, batch = network(layer), batch_of(3)
    theta = [value + 0.1 for value in parameters(model)]
    nll = negative_log_likelihood(model, squared_error(), reduction=reduction, native=native)
    vector = [tf.random.stateless_normal(t.shape, [1, 2], dtype=t.dtype) for t in theta]

    def facts(batch):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            value = nll(theta, batch)
        return value, tape.gradient(value, theta), hessian_vector_product(nll, theta, batch)(vector)

    padded = pad_batch(batch, 7)
    assert [x.shape[0] for x in padded] == [7, 7, 7]
    np.testing.assert_array_equal(padded[2], [1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(flat(facts(padded)), flat(facts(batch)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layer", ["batch norm", "our batch norm"])
def test_moments_and_metrics_leave_padding_out(layer):
    with precision_of("float64"):
        model = network(layer, outputs=3)
        train, val = batch_of(3), batch_of(5)
    theta = parameters(model, noise=0.1)
    ours = moments(model, theta, pad_batch(train, 8)[0], weights=pad_batch(train, 8)[2])
    np.testing.assert_allclose(flat(ours), flat(moments(model, theta, train[0])), rtol=1e-9)
    labelled = val[0], tf.constant([0, 1, 2, 0, 1])
    task = Task(train, labelled, tf.constant([1, 2]))
    padded = Task(pad_batch(train, 8), pad_batch(labelled, 8), task.key)
    for example in (accuracy(), cross_entropy()):
        metric = inductive_metric(model, example)
        np.testing.assert_allclose(metric(theta, padded), metric(theta, task), rtol=1e-9)


def test_a_layer_that_takes_moments_over_other_rows_is_refused():
    inputs = keras.Input((4, 3))
    rows = keras.layers.Lambda(lambda x: tf.reshape(x, [-1, 3]), output_shape=(3,))(inputs)
    model = keras.Model(inputs, keras.layers.BatchNormalization()(rows))
    nll = negative_log_likelihood(model, lambda target, output: tf.reduce_sum(output, 1))
    with pytest.raises(UsageError, match=r"weights for 2 examples.*moments over 8"):
        nll(parameters(model), (tf.zeros([2, 4, 3]), tf.zeros([2]), tf.ones([2])))


def unequal_source() -> TaskSource:
    """Task i has 2 + (i mod 3) training and 4 - (i mod 3) validation examples."""

    def task(number: tf.Tensor, key: tf.Tensor) -> Task:
        everything = tf.constant(np.random.default_rng(0).normal(size=[5, 6, 3]), tf.float32)
        rows, size = everything[number % 5], 2 + number % 3
        train, val = rows[:size], rows[size:]
        return Task((train[:, :2], train[:, 2:]), (val[:, :2], val[:, 2:]), key)

    return TaskSource(
        sample=lambda key: task(key[1], key),
        heldout=lambda index: task(index, tf.stack([7, index])),
    )


METHODS = {
    "maml": maml,
    "fomaml": fomaml,
    "reptile": reptile,
    "sigma_reptile": lambda *a: sigma_reptile(*a, solve=damped_solve(damping=1.0)),
}


# The other pairs compile for up to a minute.
QUICK = {("reptile", "sequential"), ("fomaml", "parallel"), ("reptile", "vectorized")}
PAIRS = [
    pytest.param(method, axis, marks=() if (method, axis) in QUICK else pytest.mark.slow)
    for method in METHODS
    for axis in TASK_AXES
]


@pytest.mark.parametrize(("method", "task_axis"), PAIRS)
def test_a_meta_batch_of_unequal_tasks_is_the_sum_of_its_tasks(method, task_axis):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "tanh")])
    model.add(keras.layers.BatchNormalization())
    model.add(keras.layers.Dense(1))
    registry = ModuleRegistry.by_layer(model)
    nll = negative_log_likelihood(model, squared_error())
    adapt = make_adapt(adaptation(nll, proximal_gd(), registry), steps=3)
    meta_gradient = METHODS[method](nll, registry)
    meta = meta_params(parameters(model, noise=0.1), [0.5, 1.0, 2.0], 0.1)
    keys, source = tf.constant([[0, n] for n in range(3)]), unequal_source()
    each = [meta_gradient(meta, source.sample(key), adapt) for key in keys]
    expected = tf.nest.map_structure(lambda *x: sum(x), *each)
    core = make_core(
        meta_gradient, adapt, pad_tasks(source, train=4, val=5), task_axis=task_axis, jit=False
    )
    deltas, count, metrics = core(meta, keys)
    assert count == 3
    ours = flat(deltas), flat([metrics[name] for name in sorted(metrics)])
    theirs = flat(expected[0]), flat([expected[1][name] for name in sorted(metrics)])
    np.testing.assert_allclose(ours[0], theirs[0], rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=2e-4, atol=1e-5)


def test_a_mini_batch_has_a_tasks_own_examples_first_and_padding_when_they_end():
    draw, whole = random_batch(size=3), batch_of(4)
    for step in range(5):
        task = Task(pad_batch(whole, 9), (), tf.constant([1, 2]))
        inputs, _, weights = draw(task, tf.constant(step))
        own = {picture.numpy().tobytes() for picture in whole[0]}
        np.testing.assert_array_equal(weights, [1, 1, 1])
        assert {picture.numpy().tobytes() for picture in inputs} <= own
        assert len({picture.numpy().tobytes() for picture in inputs}) == 3
    few = Task(pad_batch(batch_of(2), 9), (), tf.constant([1, 2]))
    np.testing.assert_array_equal(np.sort(draw(few, tf.constant(0))[2]), [0, 1, 1])


def test_training_and_validation_data_of_which_one_has_weights_go_together():
    source = unequal_source()
    padded = source._replace(
        sample=lambda key: (t := source.sample(key))._replace(val=pad_batch(t.val, 6))
    )
    task = train_on_all(padded).sample(tf.constant([0, 1]))
    np.testing.assert_array_equal(task.train[2], [1, 1, 1, 1, 1, 1, 0, 0, 0])


def test_augmenting_validation_inputs_leaves_the_weights():
    source = pad_tasks(unequal_source(), train=4, val=4)._replace(
        augment=lambda key, x: x + 1, augment_validation=True
    )
    plain, other = (s.heldout(tf.constant(2)) for s in (source, augment_validation(source)))
    np.testing.assert_allclose(other.val[0], plain.val[0] + 1)
    np.testing.assert_array_equal(other.val[2], [1, 1, 0, 0])


@pytest.mark.parametrize("task_axis", TASK_AXES)
def test_unequal_tasks_without_padding_are_refused(task_axis):
    sample = tf.function(draw_tasks(unequal_source().sample, task_axis), autograph=False)
    with pytest.raises(UsageError, match=r"train batch .*None, 2.*pad_tasks"):
        sample(tf.constant([[0, 0], [0, 1]]))


@pytest.mark.parametrize("size", [2, 0])
def test_a_batch_that_is_larger_than_its_padding_is_refused(size):
    with pytest.raises(tf.errors.InvalidArgumentError):
        pad_batch(batch_of(3), size)
