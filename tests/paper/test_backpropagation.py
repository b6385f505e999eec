"""sigma-MAML against central finite differences, in float64, number by number."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import make_adapt, maml, proximal_adam, proximal_gd
from meta_shrink.adaptation import adaptation
from tests.problems import regression

# With Adam's usual epsilon the first steps are signs, whose differences are rounding noise.
OPTIMIZERS = {"proximal_gd": proximal_gd, "proximal_adam": partial(proximal_adam, epsilon=1e-2)}
STEP = 1e-5


def differences(loss, meta):
    """Central differences of loss(meta) [] in every number of meta, in meta's structure."""

    def moved(leaf: int, position, by: float) -> float:
        arrays = [np.array(x) for x in tf.nest.flatten(meta)]
        arrays[leaf][position] += by
        return float(loss(tf.nest.pack_sequence_as(meta, [tf.constant(x) for x in arrays])))

    found = []
    for leaf, array in enumerate(tf.nest.flatten(meta)):
        slope = np.zeros(array.shape)
        for position in np.ndindex(*array.shape):
            slope[position] = moved(leaf, position, STEP) - moved(leaf, position, -STEP)
        found.append(slope / (2 * STEP))
    return found


@pytest.mark.parametrize("rates", ["per module", "per parameter"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_gradient_of_every_meta_parameter(optimizer, rates):
    problem = regression(sigma2=[0.3, 2.0], hidden=(2,))
    task, meta = problem.task(), problem.meta
    if rates == "per parameter":
        meta = meta._replace(log_alpha=[tf.zeros_like(x) + np.log(0.1) for x in meta.phi])
    steps = adaptation(problem.nll, OPTIMIZERS[optimizer](), problem.registry)
    adapt = make_adapt(steps, steps=4)
    loss = tf.function(lambda meta: problem.nll(adapt(meta, task), task.val))
    found, metrics = tf.function(maml(problem.nll, problem.registry))(meta, task, adapt)
    np.testing.assert_allclose(metrics["nll_val"], loss(meta))
    for gradient, expected in zip(tf.nest.flatten(found), differences(loss, meta), strict=True):
        assert np.abs(expected).max() > 1e-4
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)
