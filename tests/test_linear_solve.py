"""Conjugate gradient and Neumann series against dense solves."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink.linear_solve import conjugate_gradient, neumann_series

SHAPES = ([2, 3], [4])
SIZE = 10


def vector(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SIZE)


def spectrum(eigenvalues) -> np.ndarray:
    """A symmetric matrix with these eigenvalues."""
    basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=[SIZE, SIZE]))
    return basis @ np.diag(eigenvalues) @ basis.T


def split(x) -> list[tf.Tensor]:
    x = tf.convert_to_tensor(x, tf.float64)
    return [tf.reshape(x[:6], SHAPES[0]), tf.reshape(x[6:], SHAPES[1])]


def join(params) -> tf.Tensor:
    return tf.concat([tf.reshape(x, [-1]) for x in params], 0)


def product(matrix):
    return lambda v: split(tf.linalg.matvec(tf.constant(matrix), join(v)))


def solve(solver, matrix, b, **options):
    x, info = solver(product(matrix), split(b), **options)
    return join(x).numpy(), info


def test_as_many_steps_as_unknowns_solve_exactly():
    matrix, b = spectrum(np.linspace(1, 50, SIZE)), vector()
    x, info = solve(conjugate_gradient, matrix, b, num_steps=SIZE)
    np.testing.assert_allclose(x, np.linalg.solve(matrix, b), rtol=1e-9)
    assert info.residual_norm < 1e-9
    assert info.breakdown == 0
    assert 1 <= info.curvature_min <= 50


def test_distinct_eigenvalues_are_the_number_of_steps():
    matrix, b = spectrum([1.0] * 4 + [3.0] * 3 + [9.0] * 3), vector()
    exact = np.linalg.solve(matrix, b)
    short, _ = solve(conjugate_gradient, matrix, b, num_steps=2)
    enough, _ = solve(conjugate_gradient, matrix, b, num_steps=3)
    assert np.abs(short - exact).max() > 1e-3
    np.testing.assert_allclose(enough, exact, rtol=1e-10)


def test_one_step_minimises_along_the_gradient():
    matrix, b = spectrum(np.linspace(1, 5, SIZE)), vector()
    x, info = solve(conjugate_gradient, matrix, b, num_steps=1)
    np.testing.assert_allclose(x, b * (b @ b) / (b @ matrix @ b), rtol=1e-12)
    np.testing.assert_allclose(info.curvature_min, b @ matrix @ b / (b @ b))
    np.testing.assert_allclose(
        info.residual_norm, np.linalg.norm(b - matrix @ x) / np.linalg.norm(b), rtol=1e-9
    )


def test_preconditioner_leaves_the_solution_and_saves_steps():
    # One scale per variable: unconditioned, 3 steps are far from enough.
    scales = np.array([1e4] * 6 + [1.0] * 4)
    matrix, b = np.diag(scales * np.tile([1.0, 2.0], 5)), vector()
    exact = np.linalg.solve(matrix, b)
    with_it, _ = solve(conjugate_gradient, matrix, b, num_steps=2, preconditioner=[1e4, 1.0])
    without, _ = solve(conjugate_gradient, matrix, b, num_steps=2)
    np.testing.assert_allclose(with_it, exact, rtol=1e-9)
    assert np.abs(without - exact).max() > 0.1 * np.abs(exact).max()


def test_damping_is_added_to_the_matrix():
    matrix, b, damping = spectrum(np.linspace(0, 5, SIZE)), vector(), 0.7
    apply = product(matrix)
    x, _ = conjugate_gradient(
        lambda v: [h + damping * y for h, y in zip(apply(v), v, strict=True)],
        split(b),
        num_steps=SIZE,
    )
    np.testing.assert_allclose(
        join(x), np.linalg.solve(matrix + damping * np.eye(SIZE), b), rtol=1e-9
    )


def test_negative_curvature_stops_at_the_last_good_iterate():
    matrix, b = np.diag([2.0] * 9 + [-1.0]), np.ones(SIZE)
    first, _ = solve(conjugate_gradient, matrix, b, num_steps=1)
    x, info = solve(conjugate_gradient, matrix, b, num_steps=8)
    assert info.breakdown == 1
    assert info.curvature_min < 0
    np.testing.assert_array_equal(x, first)  # the second direction has negative curvature
    assert np.abs(x).max() > 0


def test_negative_curvature_at_once_gives_zero():
    x, info = solve(conjugate_gradient, -np.eye(SIZE), vector(), num_steps=3)
    assert info.breakdown == 1
    np.testing.assert_array_equal(x, np.zeros(SIZE))
    np.testing.assert_allclose(info.residual_norm, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("solver", [conjugate_gradient, neumann_series])
def test_non_finite_products_are_flagged_and_kept_out(solver, bad):
    matrix = np.diag([1.0] * 9 + [bad])
    x, info = solve(solver, matrix, vector(), num_steps=4)
    assert info.breakdown == 1
    assert np.isfinite(x).all()


@pytest.mark.parametrize("solver", [conjugate_gradient, neumann_series])
def test_non_finite_right_hand_side_is_flagged(solver):
    b = vector()
    b[3] = np.nan
    x, info = solve(solver, np.eye(SIZE), b, num_steps=3)
    assert info.breakdown == 1
    assert np.isfinite(x).all()


@pytest.mark.parametrize("solver", [conjugate_gradient, neumann_series])
def test_zero_right_hand_side_is_no_breakdown(solver):
    x, info = solve(solver, spectrum(np.linspace(0.1, 1, SIZE)), np.zeros(SIZE), num_steps=3)
    np.testing.assert_array_equal(x, np.zeros(SIZE))
    assert info.breakdown == 0
    assert info.residual_norm == 0


def test_steps_after_convergence_change_nothing_and_flag_nothing():
    # In float32 the residual of 6 unknowns is noise long before 40 steps, and then underflows.
    rng = np.random.default_rng(0)
    diagonals = tf.constant(np.exp(2 * rng.normal(size=[300, 6])), tf.float32)
    sides = tf.constant(
        rng.normal(size=[300, 6]) * np.exp(5 * rng.normal(size=[300, 1])), tf.float32
    )

    @tf.function
    def solve_all():
        return tf.vectorized_map(
            lambda each: conjugate_gradient(lambda v: [each[0] * v[0]], [each[1]], num_steps=40),
            (diagonals, sides),
        )

    [x], info = solve_all()
    error = np.linalg.norm(x * diagonals - sides, axis=1) / np.linalg.norm(sides, axis=1)
    assert error.max() < 2e-5
    assert np.sum(info.breakdown) == 0
    assert np.all(info.curvature_min.numpy() > 0.99 * diagonals.numpy().min(1))


def test_neumann_series_converges_to_the_solution():
    matrix, b = spectrum(np.linspace(0.3, 1.7, SIZE)), vector()
    x, info = solve(neumann_series, matrix, b, num_steps=200)
    np.testing.assert_allclose(x, np.linalg.solve(matrix, b), rtol=1e-9)
    assert info.breakdown == 0
    assert info.residual_norm < 1e-9


def test_first_terms_of_the_neumann_series():
    matrix, b = spectrum(np.linspace(0.3, 1.7, SIZE)), vector()
    scale = np.array([2.0] * 6 + [4.0] * 4)
    options = {"preconditioner": [2.0, 4.0], "step_size": 0.5}
    one, _ = solve(neumann_series, matrix, b, num_steps=1, **options)
    two, info = solve(neumann_series, matrix, b, num_steps=2, **options)
    np.testing.assert_allclose(one, 0.5 * b / scale, rtol=1e-12)
    np.testing.assert_allclose(two, one + 0.5 * (b - matrix @ one) / scale, rtol=1e-12)
    np.testing.assert_allclose(
        info.residual_norm, np.linalg.norm(b - matrix @ two) / np.linalg.norm(b), rtol=1e-9
    )


def test_neumann_series_that_overflows_stops_finite():
    x, info = solve(neumann_series, 1e200 * np.eye(SIZE), vector(), num_steps=5)
    assert info.breakdown == 1
    assert np.isfinite(x).all()


@pytest.mark.parametrize("solver", [conjugate_gradient, neumann_series])
def test_no_direction_has_no_curvature(solver):
    """b = 0, the validation gradient of a task that is solved, once gave the largest float."""
    x, info = solve(solver, spectrum(np.linspace(1, 2, SIZE)), np.zeros(SIZE), num_steps=3)
    np.testing.assert_array_equal(x, 0)
    assert info.curvature_min == 0 and info.residual_norm == 0 and info.breakdown == 0
    two = tf.cast(info.curvature_min, tf.float32) * 2
    assert np.isfinite(two)


@pytest.mark.parametrize("solver", [conjugate_gradient, neumann_series])
def test_a_product_that_is_not_finite_has_no_curvature_either(solver):
    nowhere = product(np.full([SIZE, SIZE], np.nan))
    _, info = solver(nowhere, split(vector()), num_steps=3)
    assert info.curvature_min == 0 and info.breakdown == 1
