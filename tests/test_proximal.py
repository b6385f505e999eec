"""One step of each proximal optimizer, as Algorithms 2 and 3 print it, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError, proximal_adam, proximal_gd
from meta_shrink.proximal import TASK_OPTIMIZERS

THETA = [tf.constant([1.0, -2.0], tf.float64), tf.constant([[0.5]], tf.float64)]
PHI = [tf.constant([0.2, 0.3], tf.float64), tf.constant([[-1.0]], tf.float64)]
GRAD = [tf.constant([0.4, -0.1], tf.float64), tf.constant([[2.0]], tf.float64)]
PRECISION = [tf.constant(3.0, tf.float64), tf.constant(0.5, tf.float64)]
ALPHA = [tf.constant(0.1, tf.float64), tf.constant(0.2, tf.float64)]


def test_gradient_descent_step_is_algorithm_2():
    optimizer = proximal_gd()
    moved, state = optimizer.update(GRAD, optimizer.init(THETA), THETA, PHI, PRECISION, ALPHA)
    assert state == ()
    for new, g, t, p, lam, a in zip(moved, GRAD, THETA, PHI, PRECISION, ALPHA, strict=True):
        expected = (t.numpy() - a * g - p) / (1 + lam * a) + p
        np.testing.assert_allclose(new, expected, rtol=1e-12)


def test_two_adam_steps_are_algorithm_3_with_one_denominator():
    optimizer = proximal_adam(beta1=0.8, beta2=0.9, epsilon=1e-2)
    state, theta = optimizer.init(THETA), THETA
    m, v, expected = 0.0, 0.0, THETA[0].numpy()
    g, p, lam, a = (x[0].numpy() for x in (GRAD, PHI, PRECISION, ALPHA))
    for step in (1, 2):
        theta, state = optimizer.update(GRAD, state, theta, PHI, PRECISION, ALPHA)
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
        rate = a / np.sqrt(v / (1 - 0.9**step) + 1e-2)
        half = expected - rate * m / (1 - 0.8**step)
        expected = (half - p) / (1 + lam * rate) + p
        np.testing.assert_allclose(theta[0], expected, rtol=1e-12)
    assert state.count == 2


@pytest.mark.parametrize("name", TASK_OPTIMIZERS)
def test_infinite_precision_returns_phi_bit_for_bit(name):
    optimizer, frozen = TASK_OPTIMIZERS[name](), [tf.constant(np.inf, tf.float64)] * 2
    moved, _ = optimizer.update(GRAD, optimizer.init(THETA), THETA, PHI, frozen, ALPHA)
    for new, phi in zip(moved, PHI, strict=True):
        assert new.numpy().tobytes() == phi.numpy().tobytes()


@pytest.mark.parametrize("name", TASK_OPTIMIZERS)
def test_a_rate_per_parameter_equals_the_same_scalar(name):
    optimizer = TASK_OPTIMIZERS[name]()
    each = [tf.fill(t.shape, a) for t, a in zip(THETA, ALPHA, strict=True)]
    with_scalars, _ = optimizer.update(GRAD, optimizer.init(THETA), THETA, PHI, PRECISION, ALPHA)
    with_tensors, _ = optimizer.update(GRAD, optimizer.init(THETA), THETA, PHI, PRECISION, each)
    for a, b in zip(with_scalars, with_tensors, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("options", [{"beta1": 1.0}, {"beta2": -0.1}, {"epsilon": 0.0}])
def test_bad_adam_options_are_refused(options):
    with pytest.raises(UsageError, match=rf"{next(iter(options))}={next(iter(options.values()))}"):
        proximal_adam(**options)
