"""Three ways to run a function over tasks; numbers of whole algorithms: tests/conformance."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs import sinusoid
from meta_shrink import UsageError, build, default_components
from meta_shrink.task_axis import TASK_AXES, over_tasks, repeat_for_tasks

TASKS = {"x": tf.reshape(tf.range(12.0), [3, 4]), "n": tf.constant([1, 2, 3])}


def statistics(task):
    return {"sum": tf.reduce_sum(task["x"]), "scaled": [task["x"] * tf.cast(task["n"], tf.float32)]}


@pytest.mark.parametrize("axis", TASK_AXES)
@pytest.mark.parametrize("jit", [False, True])
def test_any_structure_goes_in_and_comes_out(axis, jit):
    run = tf.function(over_tasks(statistics, axis), jit_compile=jit, autograph=False)
    found = run(TASKS)
    np.testing.assert_allclose(found["sum"], TASKS["x"].numpy().sum(1))
    np.testing.assert_allclose(found["scaled"][0], TASKS["x"].numpy() * [[1], [2], [3]])


def test_unknown_axis_is_refused():
    with pytest.raises(UsageError, match=r"'pmap'.*sequential, parallel, vectorized"):
        over_tasks(statistics, "pmap")


def test_convolution_with_filters_per_task_can_not_be_vectorised():
    images, filters = tf.ones([2, 1, 4, 4, 1]), tf.ones([2, 3, 3, 1, 1])
    run = over_tasks(lambda task: tf.nn.conv2d(task[0], task[1], 1, "VALID"), "vectorized")
    with pytest.raises(
        UsageError, match=r"no rule for Conv2D .*use 'auto', 'sequential' or 'parallel'"
    ):
        tf.function(run, autograph=False)((images, filters))


@pytest.mark.parametrize("jit", ["on", "off"])
@pytest.mark.parametrize("arm", ["maml", "sigma_reptile"])
def test_compiled_vectorised_back_propagation_is_refused(arm, jit):
    # Why: tests/conformance, test_vectorised_back_propagation_does_not_compile.
    config = sinusoid.get_config(arm).to_dict()
    config["train"].update(task_axis="vectorized", jit=jit)
    if (arm, jit) == ("maml", "on"):
        with pytest.raises(
            UsageError, match=r"'vectorized' with an algorithm .*maml.* cannot be compiled"
        ):
            build(config)
    else:
        assert build(config).jit == (jit == "on")


def noisy(*, seed: int) -> keras.Model:
    parts = [keras.Input((1,)), keras.layers.Dense(2), keras.layers.Dropout(0.5, seed=seed)]
    return keras.Sequential([*parts, keras.layers.Dense(1)])


@pytest.mark.parametrize("axis", TASK_AXES)
def test_a_network_that_draws_at_random_is_refused_when_it_is_built(axis):
    config = sinusoid.get_config("fomaml").to_dict()
    config["train"].update(task_axis=axis, jit="off")
    config["model"], config["eval"]["groups"] = {"name": "noisy"}, {}
    ours = default_components()
    components = ours._replace(models={**ours.models, "noisy": noisy})
    if axis == "vectorized":
        with pytest.raises(UsageError, match="no rule for Stateless"):
            build(config, components)
    else:
        assert build(config, components).nll.random


def test_repeated_values():
    repeated = repeat_for_tasks({"a": tf.constant([1.0, 2.0]), "b": tf.constant(3)}, 3)
    np.testing.assert_array_equal(repeated["a"], [[1, 2]] * 3)
    np.testing.assert_array_equal(repeated["b"], [3] * 3)
