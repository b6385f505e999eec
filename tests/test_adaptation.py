"""Adaptation: steps, pieces, mini-batches, learning rates."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError, freeze_others, make_adapt, proximal_gd
from meta_shrink.adaptation import adaptation, full_batch, learning_rates, random_batch
from meta_shrink.proximal import TASK_OPTIMIZERS
from meta_shrink.rng import uniform
from meta_shrink.tasks import gaussian
from meta_shrink.tasks.transforms import augment_validation, train_on_all, validate_on_batch
from tests.problems import flat, regression


def build(problem, optimizer=None, **options):
    return adaptation(problem.nll, optimizer or proximal_gd(), problem.registry, **options)


def test_one_step_is_the_optimizer_step():
    problem = regression(sigma2=[0.5, 2.0])
    task, meta = problem.task(), problem.meta
    with tf.GradientTape() as tape:
        tape.watch(meta.phi)
        loss = problem.nll(meta.phi, task.train)
    grad = tape.gradient(loss, meta.phi)
    theta = make_adapt(build(problem), steps=1)(meta, task)
    for t, p, g, sigma2 in zip(theta, meta.phi, grad, [0.5, 0.5, 2.0, 2.0], strict=True):
        np.testing.assert_allclose(t, p - 0.1 * g / (1 + 0.1 / sigma2), rtol=1e-10)


@pytest.mark.parametrize("name", TASK_OPTIMIZERS)
def test_pieces_equal_the_whole_bit_for_bit(name):
    problem = regression()
    task, whole = problem.task(), build(problem, TASK_OPTIMIZERS[name]())
    state = whole.start(problem.meta)
    for steps in (3, 1, 6):
        state = whole.advance(problem.meta, task, state, steps)
    assert state.step == 10
    np.testing.assert_array_equal(
        flat(state.theta), flat(make_adapt(whole, steps=10)(problem.meta, task))
    )


def test_a_tensor_of_steps_within_a_static_bound():
    problem = regression()
    pieces, task = build(problem), problem.task()

    @tf.function(jit_compile=True)
    def run(steps):
        return pieces.advance(problem.meta, task, pieces.start(problem.meta), steps, max_steps=8)

    end = run(tf.constant(5))
    assert end.step == 5
    np.testing.assert_allclose(
        flat(end.theta), flat(make_adapt(pieces, steps=5)(problem.meta, task)), rtol=1e-10
    )


def test_random_batches_are_keyed_by_step_and_without_replacement():
    task, draw = regression().task(), random_batch(size=4)
    batches = [draw(task, tf.constant(step))[0].numpy() for step in (0, 1, 0)]
    np.testing.assert_array_equal(batches[0], batches[2])
    assert not np.array_equal(batches[0], batches[1])
    for batch in batches:
        assert batch.shape == (4, 2)
        assert len(np.unique(batch, axis=0)) == 4
    inputs, targets = draw(task, tf.constant(0))
    whole_inputs, whole_targets = task.train
    rows = [int(np.flatnonzero((whole_inputs == row).numpy().all(1))[0]) for row in inputs]
    np.testing.assert_array_equal(targets, whole_targets.numpy()[rows])


def test_mini_batches_reach_the_steps():
    problem = regression()
    task = problem.task()
    full, mini = (
        make_adapt(build(problem, next_batch=batch), steps=3)(problem.meta, task)
        for batch in (None, random_batch(size=2))
    )
    assert not np.allclose(flat(full), flat(mini))


def test_learning_rates_per_module_or_per_parameter():
    problem = regression()
    per_module = problem.meta._replace(log_alpha=tf.math.log(tf.constant([0.1, 0.2])))
    np.testing.assert_allclose(learning_rates(per_module, problem.registry), [0.1, 0.1, 0.2, 0.2])
    logs = [tf.fill(x.shape, tf.constant(0.3, x.dtype)) for x in problem.meta.phi]
    each = learning_rates(problem.meta._replace(log_alpha=logs), problem.registry)
    assert [x.shape for x in each] == [x.shape for x in problem.meta.phi]
    np.testing.assert_allclose(flat(each), np.exp(0.3))


def test_training_on_all_appends_the_validation_examples():
    source = gaussian(
        seed=0, mean="identity", phi=[0.0], sigma=[1.0], noise=[1.0], num_train=3, num_val=2
    )
    key = tf.constant([1, 2])
    one, both = source.sample(key), train_on_all(source).sample(key)
    np.testing.assert_array_equal(both.train[0], np.concatenate([one.train[0], one.val[0]]))
    np.testing.assert_array_equal(both.val[0], one.val[0])


def test_validation_mini_batches_are_of_the_tasks_own_examples_and_differ_by_key():
    source = gaussian(
        seed=0, mean="identity", phi=[0.0], sigma=[1.0], noise=[1.0], num_train=3, num_val=9
    )
    assert validate_on_batch(source, 0) is source
    few, keys = validate_on_batch(source, 4), [tf.constant([1, k]) for k in range(2)]
    rows = []
    for key in keys:
        one, part = source.sample(key), few.sample(key)
        np.testing.assert_array_equal(part.train[0], one.train[0])
        where = [np.flatnonzero((one.val[0] == row).numpy().all(1)) for row in part.val[0]]
        assert part.val[0].shape == (4, 1)
        rows.append(np.concatenate(where))
        assert len(set(rows[-1])) == 4
    assert set(rows[0]) != set(rows[1])
    np.testing.assert_array_equal(few.heldout(tf.constant(0)).val[0].shape, [9, 1])
    with pytest.raises(UsageError, match="validation_batch is 10, but a task has 9 validation"):
        validate_on_batch(source, 10).sample(keys[0])


def test_no_step_is_refused():
    with pytest.raises(UsageError, match=r"adapt\.steps is 0"):
        make_adapt(build(regression()), steps=0)


@pytest.mark.parametrize("name", TASK_OPTIMIZERS)
def test_adapting_some_modules_equals_freezing_the_others_by_their_prior(name):
    problem = regression(sigma2=[0.5, 2.0])
    task, optimizer = problem.task(), TASK_OPTIMIZERS[name]()
    chosen = problem.registry.names[1:]
    frozen = freeze_others(problem.meta, problem.registry, chosen)
    by_prior = make_adapt(build(problem, optimizer), steps=5)(frozen, task)
    by_choice = make_adapt(build(problem, optimizer, modules=chosen), steps=5)(problem.meta, task)
    np.testing.assert_array_equal(flat(by_choice), flat(by_prior))
    with pytest.raises(UsageError, match="No module 'nowhere'"):
        build(problem, modules=["nowhere"])


def test_mini_batches_are_augmented_anew_at_every_step():
    problem = regression()
    task, seen = problem.task(), []

    def augment(key, inputs):
        seen.append(tuple(key.numpy()))
        return inputs + 1

    for make in (full_batch, lambda **options: random_batch(size=3, **options)):
        seen.clear()
        draw = make(augment=augment)
        plain, (inputs, targets) = make()(task, 1), draw(task, 1)
        np.testing.assert_array_equal(inputs, plain[0] + 1)
        np.testing.assert_array_equal(targets, plain[1])
        draw(task, 2)
        assert len(set(seen)) == 2


def test_validation_data_are_augmented_once_where_the_source_says_so():
    source = gaussian(
        seed=0, mean="identity", phi=[0.0], sigma=[1.0], noise=[1.0], num_train=3, num_val=2
    )._replace(augment=lambda key, inputs: inputs + 1)
    key = tf.constant([1, 2])
    assert augment_validation(source).sample is source.sample
    augmented = augment_validation(source._replace(augment_validation=True))
    for plain, other in (
        (source.sample(key), augmented.sample(key)),
        (source.heldout(3), augmented.heldout(3)),
    ):
        np.testing.assert_array_equal(other.val[0], plain.val[0] + 1)
        np.testing.assert_array_equal(other.val[1], plain.val[1])
        np.testing.assert_array_equal(other.train[0], plain.train[0])


def test_tasks_with_equal_data_draw_and_augment_by_their_own_keys():
    task = regression().task()
    other = task._replace(key=task.key + 1)
    by_size = random_batch(size=3)
    first, second = (
        np.stack([by_size(one, step)[0] for step in range(5)]) for one in (task, other)
    )
    assert not np.array_equal(first, second)

    def augment(key, inputs):
        return inputs + tf.cast(uniform(key, "test", []), inputs.dtype)

    for draw in (full_batch(augment=augment), random_batch(size=6, augment=augment)):
        sums = [float(tf.reduce_sum(draw(one, 0)[0])) for one in (task, other)]
        assert sums[0] != pytest.approx(sums[1], abs=1e-6)


def test_the_step_number_reaches_the_mini_batches_of_an_adaptation():
    """Steps 2 and 3 after a pause draw as steps 2 and 3, not as 0 and 1."""
    seen, problem = [], regression()

    def draw(task, step):
        seen.append(int(step))
        return task.train

    pieces = build(problem, next_batch=draw)
    state = pieces.advance(problem.meta, problem.task(), pieces.start(problem.meta), 2)
    pieces.advance(problem.meta, problem.task(), state, 2)
    assert seen == [0, 1, 2, 3]


def test_draws_for_different_purposes_have_different_keys():
    """Validation augmentation, validation mini-batch and the steps of adaptation share none."""
    keys: list[tuple[int, ...]] = []

    def augment(key, inputs):
        keys.append(tuple(key.numpy()))
        return inputs

    source = gaussian(
        seed=0, mean="identity", phi=[0.0], sigma=[1.0], noise=[1.0], num_train=3, num_val=2
    )._replace(augment=augment, augment_validation=True)
    task = augment_validation(source).sample(tf.constant([1, 2]))
    for step in range(3):
        full_batch(augment=augment)(task, step)
    assert len(keys) == len(set(keys)) == 4
