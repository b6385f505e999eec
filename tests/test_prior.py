"""The shrinkage prior: regulariser, clipping, freezing, selection."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import MetaParams, ModuleRegistry, UsageError, freeze_others, task_specific
from meta_shrink.prior import clip_log_sigma2, regulariser_gradient

# Modules a (2 + 1 parameters), b (4), c (1).
REGISTRY = ModuleRegistry(("a", "b", "c"), ("a/w", "a/b", "b/w", "c/w"), ((2,), (1,), (4,), (1,)),
                          (0, 0, 1, 2))  # fmt: skip
PHI = [tf.zeros(shape) for shape in REGISTRY.shapes]


def meta(sigma2) -> MetaParams:
    return MetaParams(PHI, tf.math.log(tf.constant(sigma2)), tf.zeros([3]))


def test_regulariser_is_minus_beta_log_inverse_gamma():
    beta, log_sigma2 = 0.3, tf.Variable([-3.0, 0.0, 2.0])
    with tf.GradientTape() as tape:
        sigma2 = tf.exp(log_sigma2)  # log IG(s; 1, beta) = log beta - 2 log s - beta / s
        total = -beta * tf.reduce_sum(np.log(beta) - 2 * tf.math.log(sigma2) - beta / sigma2)
    np.testing.assert_allclose(
        regulariser_gradient(tf.convert_to_tensor(log_sigma2), beta=beta),
        tape.gradient(total, log_sigma2),
        rtol=1e-5,
    )


def test_regulariser_alone_has_its_minimum_at_half_beta():
    beta = 0.3
    around = tf.math.log(tf.constant([0.9, 1.0, 1.1]) * beta / 2)
    below, at, above = regulariser_gradient(around, beta=beta).numpy()
    assert below < 0 < above
    np.testing.assert_allclose(at, 0, atol=1e-6)


def test_clipping_keeps_the_inside_and_moves_the_outside():
    log_sigma2 = tf.math.log(tf.constant([1e-9, 1e-5, 0.3, 1e5, 1e9]))
    np.testing.assert_allclose(
        tf.exp(clip_log_sigma2(log_sigma2)), [1e-5, 1e-5, 0.3, 1e5, 1e5], rtol=1e-5
    )
    np.testing.assert_allclose(tf.exp(clip_log_sigma2(log_sigma2, low=0.1, high=10.0)),
                               [0.1, 0.1, 0.3, 10, 10], rtol=1e-5)  # fmt: skip


def test_freezing_leaves_the_named_modules():
    frozen = freeze_others(meta([0.5, 2.0, 8.0]), REGISTRY, ["b"])
    np.testing.assert_allclose(tf.exp(frozen.log_sigma2), [0, 2, 0], rtol=1e-6)
    with pytest.raises(UsageError, match=r"'d'.*a, b, c"):
        freeze_others(meta([0.5, 2.0, 8.0]), REGISTRY, ["d"])


@pytest.mark.parametrize(
    ("rule", "value", "modules"),
    [
        ("threshold", 0.3, ("a", "c")),
        ("threshold", 0.9, ("c",)),
        ("relative", 0.4, ("a", "c")),
        ("relative", 0.6, ("c",)),
        ("top_k", 2, ("a", "c")),
        ("top_k", 9, ("a", "b", "c")),
        ("max_bytes", 16, ("a", "c")),
        ("max_bytes", 15, ("c",)),  # a, the second, needs 12 bytes more: the list ends
        ("max_bytes", 32, ("a", "b", "c")),
    ],
)
def test_selection(rule, value, modules):
    found = task_specific([0.5, 0.1, 1.0], REGISTRY, rule=rule, value=value)
    sizes = {"a": 3, "b": 4, "c": 1}
    total = sum(sizes[name] for name in modules)
    assert found.modules == modules
    assert found.bytes == 4 * total
    assert found.share == total / 8


@pytest.mark.parametrize(
    ("sigma2", "value", "modules"),
    [
        ([0.5, 0.001, 1.0], 100, ("a", "c")),  # 500 times, and 2 above it
        ([0.5, 0.001, 1.0], 500, ("a", "c")),
        ([0.5, 0.001, 1.0], 501, ()),
        ([0.88, 1.2, 1.53], 100, ()),  # once printed as "2 are task-specific"
        ([1e-9, 1e-3, 1e-12], 100, ("b",)),  # below the least sigma^2 all are alike
        ([1e-9, 1e-5, 1e-12], 2, ()),
        ([1e5, 1e2, 1e-5], 100, ("a", "b")),  # the widest of two
    ],
)
def test_a_gap_is_evidence_and_without_one_there_is_no_selection(sigma2, value, modules):
    found = task_specific(sigma2, REGISTRY, rule="gap", value=value)
    assert found.modules == modules
    assert found.bytes == 4 * sum({"a": 3, "b": 4, "c": 1}[name] for name in modules)


@pytest.mark.parametrize(
    ("sigma2", "rule", "value", "message"),
    [
        ([0.5, 0.1, 1.0], "largest", 1, r"'largest'.*top_k"),
        ([0.5, 0.1, 1.0], "threshold", 2.0, "selects no module; the largest sigma.2 is 1"),
        ([0.5, 0.1, 1.0], "max_bytes", 3, "at least the 4 bytes of the smallest module"),
        ([0.5, 0.1], "top_k", 1, "2 variances for 3 modules"),
    ],
)
def test_selections_that_are_refused(sigma2, rule, value, message):
    with pytest.raises(UsageError, match=message):
        task_specific(sigma2, REGISTRY, rule=rule, value=value)
