"""Stateless keys: equal for equal histories, apart otherwise, and the same under XLA."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink.rng import PURPOSES, fold_in, normal, root_key, uniform


def test_purposes_and_seeds_have_their_own_keys():
    keys = {tuple(root_key(seed, purpose).numpy()) for seed in (0, 1) for purpose in PURPOSES}
    assert len(keys) == 2 * len(PURPOSES)


def test_unknown_purpose_is_refused():
    with pytest.raises(ValueError, match=r"'tasks'.*train_tasks"):
        root_key(0, "tasks")


def test_folding_is_a_function_of_the_whole_path():
    key = root_key(3, "data")
    np.testing.assert_array_equal(fold_in(key, 4, 5), fold_in(fold_in(key, tf.constant(4)), 5))
    paths = [(4, 5), (5, 4), (4,), (5,), (4, 6)]
    assert len({tuple(fold_in(key, *path).numpy()) for path in paths}) == len(paths)


def test_draws_depend_on_the_key_only():
    one, other = root_key(0, "data"), root_key(1, "data")
    for draw in (uniform, normal):
        np.testing.assert_array_equal(draw(one, [5]), draw(one, [5]))
        assert not np.array_equal(draw(one, [5]), draw(other, [5]))


def test_compiled_draws_are_the_same():
    def draw(step):
        key = fold_in(root_key(0, "data"), step)
        return uniform(key, [100], 2.0, 3.0), normal(key, [100]), uniform(key, [9], 0, 7, tf.int32)

    # TensorFlow's own floating-point draws differ: held-out tasks would depend on the device.
    eager, compiled = draw(tf.constant(8)), tf.function(draw, jit_compile=True)(tf.constant(8))
    np.testing.assert_allclose(eager[0], compiled[0], rtol=1e-6)
    np.testing.assert_allclose(eager[1], compiled[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(eager[2], compiled[2])


def test_ranges_and_moments():
    key = root_key(0, "data")
    flat = uniform(key, [20_000], -5.0, 5.0).numpy()
    assert flat.min() >= -5
    assert flat.max() < 5
    assert abs(flat.mean()) < 0.1  # 5 standard errors
    bell = normal(key, [20_000, 2], tf.constant([1.0, -1.0]), tf.constant([2.0, 0.5])).numpy()
    np.testing.assert_allclose(bell.mean(0), [1, -1], atol=0.08)
    np.testing.assert_allclose(bell.std(0), [2, 0.5], rtol=0.03)
