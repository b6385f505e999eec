"""Every meta-gradient x task optimizer gives the same numbers eagerly, as a graph, under XLA, and
over each task axis, on a small network and on the Gaussian model.

Tolerance: 1e-4 of the largest number of each part of Delta (and 1e-6), in float32. What differs is
the order of sums, and XLA's own elementary functions. Of the task axes, `make test` runs each
algorithm on one problem; the rest of the product is marked slow, it is long to trace.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import damped_solve, make_adapt
from meta_shrink.adaptation import adaptation, random_batch
from meta_shrink.meta_gradients import META_GRADIENTS
from meta_shrink.proximal import TASK_OPTIMIZERS
from meta_shrink.rng import root_key
from meta_shrink.task_axis import TASK_AXES, over_tasks
from meta_shrink.tasks import TASKS, alphabets, few_shot
from tests.numbered_images import numbered_folder, numbered_omniglot
from tests.problems import Problem, normal_means, regression

STEPS, TOLERANCE = 3, 1e-4
COMPILED = {"graph": False, "xla": True}
OPTIONS = {
    "imaml": {"solve": damped_solve(cg_steps=2, damping=0.1)},
    "sigma_reptile": {"solve": damped_solve(cg_steps=2, solver="neumann")},
}
GAUSSIAN_DATA = np.random.default_rng(0).normal(size=[2, 2, 4, 2])
SMALL_TASKS = {
    "gaussian": {"mean": "spiral", "phi": [1.0, 2.0], "sigma": [1.0, 2.0], "noise": [0.5, 0.5],
                 "num_train": 3, "num_val": 2},
    "sinusoid": {},
    "omniglot_alphabets": {"data_dir": "", "augment": {}},
    "omniglot_few_shot": {"data_dir": "", "ways": 3, "shots": 1, "queries": 2},
    "image_folder_few_shot": {"data_dir": "", "ways": 3, "shots": 1, "queries": 2},
}  # fmt: skip


@cache
def problem_of(model: str) -> Problem:
    if model == "mlp":
        return regression(dtype="float32", sigma2=[0.3, 2.0])
    return normal_means(*GAUSSIAN_DATA, sigma2=[0.3, 2.0], dtype="float32", reduction="mean")


def meta_gradient_of(model: str, method: str, optimizer: str, **options):
    problem = problem_of(model)
    steps = adaptation(problem.nll, TASK_OPTIMIZERS[optimizer](), problem.registry, **options)
    factory = META_GRADIENTS[method].factory
    gradient = factory(problem.nll, problem.registry, **OPTIONS.get(method, {}))
    adapt = make_adapt(steps, steps=STEPS)
    return lambda meta, task: gradient(meta, task, adapt)


@cache
def eager(model: str, method: str, optimizer: str):
    """The reference: (Delta, metrics) of every task, one eager call each."""
    problem, gradient = problem_of(model), meta_gradient_of(model, method, optimizer)
    each = [gradient(problem.meta, problem.task(number)) for number in (0, 1)]
    return tf.nest.map_structure(lambda *x: np.stack(x), *each)


def assert_same(found, expected) -> None:
    tf.nest.assert_same_structure(found, expected)
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * max(np.abs(b).max(), 1e-2))


def compiled(function, jit: bool):
    return tf.function(function, jit_compile=jit, autograph=False)


MODELS = ("mlp", "gaussian")
REFUSED = ("maml", "vectorized", "xla")


@pytest.mark.parametrize("regime", COMPILED)
@pytest.mark.parametrize("optimizer", TASK_OPTIMIZERS)
@pytest.mark.parametrize("method", META_GRADIENTS)
@pytest.mark.parametrize("model", MODELS)
def test_compiled_equals_eager(model, method, optimizer, regime):
    problem = problem_of(model)
    function = compiled(meta_gradient_of(model, method, optimizer), COMPILED[regime])
    expected = tf.nest.map_structure(lambda x: x[0], eager(model, method, optimizer))
    assert_same(function(problem.meta, problem.task(0)), expected)


def run_over_tasks(model: str, method: str, optimizer: str, axis: str, jit: bool):
    gradient, problem = meta_gradient_of(model, method, optimizer), problem_of(model)

    def core(meta, tasks):
        return over_tasks(lambda task: gradient(meta, task), axis)(tasks)

    return compiled(core, jit)(problem.meta, problem.tasks)


def axis_cases():
    for case in product(MODELS, META_GRADIENTS, TASK_OPTIMIZERS, TASK_AXES, COMPILED):
        model, method, optimizer, axis, regime = case
        quick = (model, optimizer) == ("gaussian", "proximal_gd") or (
            (model, method, optimizer) == ("mlp", "sigma_reptile", "proximal_adam")
        )
        slow = not quick or (method, axis) == ("maml", "vectorized")
        if (method, axis, regime) != REFUSED:
            yield pytest.param(*case, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("model", "method", "optimizer", "axis", "regime"), list(axis_cases()))
def test_task_axes_agree(model, method, optimizer, axis, regime):
    found = run_over_tasks(model, method, optimizer, axis, COMPILED[regime])
    assert_same(found, eager(model, method, optimizer))


def test_vectorised_back_propagation_does_not_compile():
    # tf.vectorized_map turns a loop that carries back-propagation's lists into one that carries
    # lists of lists, which XLA has not. The day this fails, experiment.py need not refuse it.
    with pytest.raises(tf.errors.InvalidArgumentError, match="TensorListReserve"):
        run_over_tasks("gaussian", "maml", "proximal_gd", "vectorized", jit=True)


@pytest.mark.parametrize("regime", COMPILED)
@pytest.mark.parametrize("axis", ["sequential", "parallel"])
def test_mini_batches_are_the_same_everywhere(axis, regime):
    model, next_batch = "mlp", random_batch(size=2)
    problem = problem_of(model)
    gradient = meta_gradient_of(model, "reptile", "proximal_gd", next_batch=next_batch)
    each = [gradient(problem.meta, problem.task(number)) for number in (0, 1)]
    expected = tf.nest.map_structure(lambda *x: np.stack(x), *each)
    full = eager(model, "reptile", "proximal_gd")[0].phi[0]
    assert np.abs(expected[0].phi[0] - full).max() > 1e-3
    run = over_tasks(lambda task: gradient(problem.meta, task), axis)
    assert_same(compiled(run, COMPILED[regime])(problem.tasks), expected)


@pytest.fixture
def numbered_data(monkeypatch):
    """The image tasks read made images, not files."""
    monkeypatch.setattr(alphabets, "read_omniglot", numbered_omniglot)
    monkeypatch.setattr(few_shot, "read_omniglot", numbered_omniglot)
    monkeypatch.setattr(few_shot, "load_image_folder", numbered_folder)


def test_every_task_source_has_a_small_one_here_or_reads_files():
    # Tests of each in tests/tasks and tests/speech make the files that these three read.
    assert set(TASKS) - set(SMALL_TASKS) == {"arrays", "prosody", "speech"}


@pytest.mark.parametrize("regime", COMPILED)
@pytest.mark.parametrize("name", SMALL_TASKS)
@pytest.mark.usefixtures("numbered_data")
def test_tasks_are_the_same_everywhere(name, regime):
    source = TASKS[name](seed=3, **SMALL_TASKS[name])
    key, index = root_key(3, "train_tasks"), tf.constant(5)
    for draw, argument in ((source.sample, key), (source.heldout, index)):
        assert_same(compiled(draw, COMPILED[regime])(argument), draw(argument))
