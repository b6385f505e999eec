"""Meta-steps whose numbers are worked out by hand: one task, one parameter, plain gradients.

The task: theta is one number with a negative log-likelihood (theta - x)^2 / 2 at each observation
x, phi = 0, sigma^2 = 1, alpha = 1/2, one adaptation step. Training x = 2, validation x = 3:

    theta = (0 + 2/2) / (1 + 1/2) = 2/3    (Algorithm 2)
    Delta_phi = (0 - 2/3) / 1 = -2/3, Delta_log_sigma^2 = u (theta - phi) = -7/6 * 2/3 = -7/9,
    where H u = theta - 3 = -7/3 with H = 1 + 1/sigma^2 = 2    (sigma-Reptile, Eqs. 7 and 10)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import MetaParams, Task, build
from meta_shrink.experiments.train import set_up
from meta_shrink.rng import root_key
from meta_shrink.training.loop import window_row
from meta_shrink.training.meta_state import MetaState, meta_optimizer
from meta_shrink.training.meta_step import make_update, task_keys
from tests.tiny_runs import tiny_config

DELTA_PHI, DELTA_LOG_SIGMA2 = -2 / 3, -7 / 9
BETA, RATE = 0.5, 0.1
# beta (2 - beta / sigma^2) at sigma^2 = 1
REGULARISER = 0.75
SEED = 0
SGD = {"name": "sgd", "learning_rate": RATE}
ONE_NUMBER = {
    "seed": SEED,
    "task.mean": "identity",
    "task.phi": [0.0],
    "task.sigma": [1.0],
    "task.noise": [1.0],
    "model": {"name": "gaussian", "dimensions": 1, "mean": "identity"},
    "loss.noise": [1.0],
    "adapt.optimizer": "proximal_gd",
    "adapt.learning_rate": 0.5,
    "adapt.steps": 1,
    "prior.sigma2": 1.0,
    "prior.beta": BETA,
    "meta_optimizer": {"phi": SGD, "log_sigma2": SGD},
    "train.meta_batch_size": 1,
    "train.clip_norm": 0.0,
}


def the_task(key: tf.Tensor) -> Task:
    train, val = tf.constant([[2.0]]), tf.constant([[3.0]])
    return Task((train, train), (val, val), key)


def training_of(sample: Callable[[tf.Tensor], Task] = the_task, **changes: Any):
    """A training run at phi = 0 whose every task is the one above."""
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    experiment = build(tiny_config("sigma_reptile", ONE_NUMBER | dotted))
    zero = [tf.zeros_like(phi) for phi in experiment.initial.phi]
    experiment = experiment._replace(
        source=experiment.source._replace(sample=sample),
        initial=experiment.initial._replace(phi=zero),
    )
    return set_up(experiment, tf.distribute.get_strategy())


def after_steps(training, steps: int = 1) -> tuple[float, float]:
    """(phi, sigma^2) after some meta-steps."""
    training.run(steps)
    meta = training.state.meta()
    return float(tf.squeeze(meta.phi[0])), math.exp(float(meta.log_sigma2[0]))


def test_one_meta_step_with_plain_gradients():
    training = training_of()
    phi, sigma2 = after_steps(training)
    assert phi == pytest.approx(-RATE * DELTA_PHI, rel=1e-5)
    assert math.log(sigma2) == pytest.approx(-RATE * (DELTA_LOG_SIGMA2 + REGULARISER), rel=1e-4)
    window = dict(zip((*training.row_names, "count"), training.state.window.numpy(), strict=True))
    assert window["nll_val"] == pytest.approx((2 / 3 - 3) ** 2 / 2, rel=1e-5)
    assert window["nll_train"] == pytest.approx((2 / 3 - 2) ** 2 / 2, rel=1e-5)
    assert window["cg/curvature_min"] == pytest.approx(2.0, rel=1e-5)
    assert window["meta/phi_gradient_norm"] == pytest.approx(2 / 3, rel=1e-5)
    assert window["meta/log_sigma2_gradient_norm"] == pytest.approx(1 / 36, rel=1e-3)
    assert window["tasks/nonfinite"] == 0 and window["count"] == 1
    assert int(training.state.step) == 1


def test_a_meta_step_without_a_finite_task_is_no_part_of_the_means():
    """Three steps at the same Phi, the second of a task that is not finite: means of the others."""
    hold = {"name": "sgd", "learning_rate": 1e-12}
    bad = task_keys(root_key(SEED, "train_tasks"), tf.constant(1), 0, 1)[0]

    def sample(key: tf.Tensor) -> Task:
        task = the_task(key)
        factor = tf.where(tf.reduce_all(key == bad), math.inf, 1.0)
        return task._replace(val=tf.nest.map_structure(lambda x: x * factor, task.val))

    training = training_of(sample, meta_optimizer={"phi": hold, "log_sigma2": hold})
    training.run(3)
    row = window_row(training.state, training.row_names, ("theta",))
    assert row["tasks/nonfinite"] == 1
    assert row["nll_val"] == pytest.approx((2 / 3 - 3) ** 2 / 2, rel=1e-5)
    assert row["cg/curvature_min"] == pytest.approx(2.0, rel=1e-5)
    assert row["meta/phi_gradient_norm"] == pytest.approx(2 / 3, rel=1e-5)
    assert row["meta/log_sigma2_gradient_norm"] == pytest.approx(1 / 36, rel=1e-3)
    assert training.state.window.numpy().tolist() == [0.0] * (len(training.row_names) + 1)


def test_a_window_without_a_finite_task_has_no_means():
    training = training_of(lambda key: never_finite(the_task(key)))
    training.run(2)
    row = window_row(training.state, training.row_names, ("theta",))
    assert row["tasks/nonfinite"] == 2
    means = [row[name] for name in training.row_names if name != "tasks/nonfinite"]
    assert np.isnan(means).all()


def never_finite(task: Task) -> Task:
    return task._replace(val=tf.nest.map_structure(lambda x: x * math.inf, task.val))


def test_without_a_regulariser_the_data_alone_move_sigma2():
    _, sigma2 = after_steps(training_of(prior__beta=0.0))
    assert math.log(sigma2) == pytest.approx(-RATE * DELTA_LOG_SIGMA2, rel=1e-4)


def test_a_gradient_above_the_clip_norm_gets_that_norm_and_the_log_keeps_its_own():
    training = training_of(train__clip_norm=0.25, prior__beta=0.0)
    phi, sigma2 = after_steps(training)
    assert phi == pytest.approx(RATE * 0.25, rel=1e-5)
    assert math.log(sigma2) == pytest.approx(RATE * 0.25, rel=1e-5)
    assert training.state.window.numpy()[-4] == pytest.approx(2 / 3, rel=1e-5)


def test_a_gradient_below_the_clip_norm_stays_as_it_is():
    phi, _ = after_steps(training_of(train__clip_norm=0.7))
    assert phi == pytest.approx(-RATE * DELTA_PHI, rel=1e-5)


@pytest.mark.parametrize(
    ("beta", "bound", "expected"), [(0.0, "sigma2_max", 1.05), (1.0, "sigma2_min", 0.99)]
)
def test_sigma2_stays_within_its_bounds(beta, bound, expected):
    # Unbounded, log sigma^2 would be 7/90 after the step, sigma^2 = 1.081; less a tenth of
    # beta (2 - beta) = 1 of the regulariser -2/90, sigma^2 = 0.978.
    _, sigma2 = after_steps(training_of(prior__beta=beta, **{f"prior__{bound}": expected}))
    assert sigma2 == pytest.approx(expected, rel=1e-5)


def test_the_meta_learning_rate_decays_linearly_to_zero_at_the_last_step():
    optimizer = meta_optimizer(name="sgd", learning_rate=0.4, decay="linear", steps=4)
    state = state_of([[1.0]], {"phi": optimizer})
    update, places = update_of(state), []
    for _ in range(5):
        update(totals([[1.0]], count=1.0), 1)
        places.append(float(state.meta().phi[0][0]))
    # Rates 0.4, 0.3, 0.2, 0.1 and then 0.
    np.testing.assert_allclose(places, [0.6, 0.3, 0.1, 0.0, 0.0], atol=1e-6)


def test_the_decay_of_a_config_ends_at_its_last_meta_step():
    decaying = {"phi": {**SGD, "decay": "linear"}, "log_sigma2": SGD}
    training = training_of(meta_optimizer=decaying, train__steps=2, prior__beta=0.0)
    first, _ = after_steps(training)
    assert first == pytest.approx(-RATE * DELTA_PHI, rel=1e-5)
    # theta = (phi + (2 - phi)/2 + phi/(2 s)) / (1 + 1/(2 s)), at half the rate.
    second, _ = after_steps(training)
    sigma2 = math.exp(RATE * 7 / 9)
    half = first + 0.5 * (2 - first)
    theta = first + (half - first) / (1 + 0.5 / sigma2)
    assert second == pytest.approx(first - 0.5 * RATE * (first - theta) / sigma2, rel=1e-4)


def state_of(phi, optimizers) -> MetaState:
    initial = MetaParams([tf.constant(p) for p in phi], tf.zeros([1]), tf.zeros([1]))
    names = tuple(f"phi_{number}" for number in range(len(phi)))
    return MetaState.create(initial, optimizers, num_metrics=5, names=names)


def update_of(state: MetaState, **options: Any):
    given = {"metric_names": ("nll_val",), "beta": 0.0, "clip_norm": 0.0}
    return make_update(state, **(given | options))


def totals(phi, *, count: float, log_sigma2: float = 0.0, nll_val: float = 0.0):
    deltas = MetaParams(
        [tf.constant(p) for p in phi], tf.constant([log_sigma2]), tf.constant([0.0])
    )
    return deltas, tf.constant(count), {"nll_val": tf.constant(nll_val)}


def test_deltas_and_metrics_are_means_over_the_finite_tasks():
    rates = {"phi": 0.1, "log_sigma2": 0.01}
    optimizers = {
        part: meta_optimizer(name="sgd", learning_rate=rate, steps=1)
        for part, rate in rates.items()
    }
    state = state_of([[1.0], [0.0, 2.0]], optimizers)
    sums = totals([[6.0], [2.0, -4.0]], count=2.0, log_sigma2=3.0, nll_val=5.0)
    row, any_finite = update_of(state)(sums, 3)
    np.testing.assert_allclose(state.meta().phi[0], [0.7], rtol=1e-6)
    np.testing.assert_allclose(state.meta().phi[1], [-0.1, 2.2], rtol=1e-6)
    np.testing.assert_allclose(state.meta().log_sigma2, [-0.015], rtol=1e-6)
    # nll_val; the norms of (3, 1, -2) and of 1.5; one of three tasks was not finite.
    np.testing.assert_allclose(row, [2.5, math.sqrt(14), 1.5, 1.0], rtol=1e-6)
    assert any_finite


def test_each_component_is_clipped_by_its_own_norm():
    optimizers = {
        part: meta_optimizer(name="sgd", learning_rate=1.0, steps=1)
        for part in ("phi", "log_sigma2")
    }
    state = state_of([[0.0], [0.0]], optimizers)
    update_of(state, clip_norm=2.5)(totals([[3.0], [4.0]], count=1.0, log_sigma2=-2.0), 1)
    # phi has norm 5, so it is halved; log sigma^2 has norm 2.
    np.testing.assert_allclose([p[0] for p in state.meta().phi], [-1.5, -2.0], rtol=1e-6)
    np.testing.assert_allclose(state.meta().log_sigma2, [2.0], rtol=1e-6)
