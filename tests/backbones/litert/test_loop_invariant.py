"""A function cut where its moving arguments come in."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from meta_shrink.backbones.litert.loop_invariant import in_two_parts

CAPTURED = tf.constant([3.0, 4.0])


def body(*, fixed, moving):
    slow = tf.sin(fixed) * CAPTURED
    fast = tf.cos(moving) * slow
    return [fast + fixed, slow, moving, tf.constant([7.0, 7.0])]


def test_the_parts_do_what_the_whole_does():
    spec = {name: tf.TensorSpec([2], name=name) for name in ("fixed", "moving")}
    whole = tf.function(body, autograph=False).get_concrete_function(**spec)
    parts = in_two_parts(whole, ["moving"])
    calls: list[set[str]] = []

    @tf.function(autograph=False)
    def loop(fixed, moving):
        known = parts.before({"fixed": fixed})

        def step(number, moving):
            results = parts.step(known, {"moving": moving})
            calls.append({op.type for op in results[0].graph.get_operations()})
            return number + 1, results[0]

        return tf.while_loop(lambda number, _: number < 3, step, (0, moving))[1]

    fixed, moving = tf.constant([0.1, 0.2]), tf.constant([0.5, 0.6])
    expected = moving
    for _ in range(3):
        expected = body(fixed=fixed, moving=expected)[0]
    np.testing.assert_allclose(loop(fixed, moving), expected, rtol=1e-6)
    assert "Cos" in calls[0]
    assert "Sin" not in calls[0]


def test_results_that_do_not_move_are_known_beforehand():
    spec = {name: tf.TensorSpec([2], name=name) for name in ("fixed", "moving")}
    parts = in_two_parts(
        tf.function(body, autograph=False).get_concrete_function(**spec), ["moving"]
    )

    @tf.function(autograph=False)
    def once(fixed, moving):
        return parts.step(parts.before({"fixed": fixed}), {"moving": moving})

    arguments = {"fixed": tf.constant([0.1, 0.2]), "moving": tf.constant([0.5, 0.6])}
    for got, value in zip(once(**arguments), body(**arguments), strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-6)
