"""Stateless keys: equal for equal histories, apart otherwise, and the same under XLA."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import rng
from meta_shrink.rng import ROOTS, fold_in, normal, root_key, uniform

PACKAGE = Path(rng.__file__).parent


def test_roots_and_seeds_have_their_own_keys():
    keys = {tuple(root_key(seed, root).numpy()) for seed in (0, 1) for root in ROOTS}
    assert len(keys) == 2 * len(ROOTS)


def test_unknown_root_is_refused():
    with pytest.raises(ValueError, match=r"'tasks'.*train_tasks"):
        root_key(0, "tasks")


def test_folding_is_a_function_of_the_whole_path():
    key = root_key(3, "probe")
    np.testing.assert_array_equal(
        fold_in(key, "a", 4, 5), fold_in(key, "a", tf.constant(4), tf.constant(5, tf.int64))
    )
    np.testing.assert_array_equal(root_key(3, "probe", 4), root_key(3, "probe", tf.constant(4)))
    paths = [("a", 4, 5), ("a", 5, 4), ("a", 4), ("a", 5), ("a", 4, 6), ("b", 4, 5), ("b",), ("a",)]
    keys = [fold_in(key, *path) for path in paths]
    keys += [
        fold_in(fold_in(key, "a", 4), "b"),
        root_key(3, "probe", 4),
        root_key(3, "probe", 4, 5),
    ]
    assert len({tuple(k.numpy()) for k in keys}) == len(keys)


def test_no_number_is_a_purpose():
    """A key folded with counters alone cannot meet one that was folded for a purpose."""
    key = root_key(0, "probe")
    for purpose in ("mini_batch", "task", "x"):
        folded = fold_in(key, purpose).numpy()
        assert folded[1] < 0 <= fold_in(key, purpose, 2**31 - 1).numpy()[1]


fold: Any = fold_in
flat_draw: Any = uniform
bell_draw: Any = normal


@pytest.mark.parametrize(
    "misuse",
    [
        lambda key: fold(key, 3),
        lambda key: fold(key, tf.constant(3)),
        lambda key: fold_in(key, ""),
        lambda key: flat_draw(key, [5]),
        lambda key: bell_draw(key, [5]),
        lambda key: fold_in(key, "mini_batch", -1),
        lambda key: root_key(0, "probe", np.int64(-1)),
    ],
    ids=["number", "tensor", "empty", "uniform", "normal", "negative", "negative under a root"],
)
def test_a_key_is_not_used_without_saying_for_what(misuse):
    with pytest.raises((ValueError, TypeError), match=r"name of what|at least 0|shape"):
        misuse(root_key(0, "probe"))


def uses_of_keys() -> list[tuple[str, ast.Call]]:
    """Calls of fold_in, uniform and normal in the library, with where they stand."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        ours = {a.name for n in imports if n.module == "meta_shrink.rng" for a in n.names}
        for node in ast.walk(tree):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name in ours & {"fold_in", "uniform", "normal"} and isinstance(node, ast.Call):
                found.append((f"{path.relative_to(PACKAGE)}:{node.lineno}", node))
    return found


def test_every_use_of_a_key_has_a_purpose_of_its_own():
    purposes = Counter()
    for where, call in uses_of_keys():
        purpose = call.args[1] if len(call.args) > 1 else None
        assert isinstance(purpose, ast.Constant) and isinstance(purpose.value, str), where
        purposes[purpose.value] += 1
    assert len(purposes) > 15
    assert [name for name, count in purposes.items() if count > 1] == []
    # Names are folded as 31 bits of a hash: no two of ours are one number.
    numbers = {int(fold_in(root_key(0, "probe"), name)[1]) for name in [*purposes, *ROOTS]}
    assert len(numbers) == len({*purposes, *ROOTS})


def test_all_random_numbers_come_from_here():
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "rng.py":
            text = path.read_text(encoding="utf-8")
            for other in ("tf.random", "stateless_uniform", "stateless_normal", "fold_in_seed"):
                assert other not in text, f"{path}: {other}; draw with meta_shrink.rng"


def test_draws_depend_on_the_key_and_the_purpose_only():
    one, other = root_key(0, "probe"), root_key(1, "probe")
    for draw in (uniform, normal):
        np.testing.assert_array_equal(draw(one, "a", [5]), draw(one, "a", [5]))
        assert not np.array_equal(draw(one, "a", [5]), draw(other, "a", [5]))
        assert not np.array_equal(draw(one, "a", [5]), draw(one, "b", [5]))


def test_draws_for_two_purposes_are_independent():
    key, count = root_key(0, "probe"), 20_000
    one, other = uniform(key, "a", [count]).numpy(), uniform(key, "b", [count]).numpy()
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(count)


def test_compiled_draws_are_the_same():
    def draw(step):
        key = root_key(0, "probe", step)
        return (
            uniform(key, "a", [100], 2.0, 3.0),
            normal(key, "b", [100]),
            uniform(key, "c", [9], 0, 7, tf.int32),
        )

    # TensorFlow's own floating-point draws differ: held-out tasks would depend on the device.
    eager, compiled = draw(tf.constant(8)), tf.function(draw, jit_compile=True)(tf.constant(8))
    np.testing.assert_allclose(eager[0], compiled[0], rtol=1e-6)
    np.testing.assert_allclose(eager[1], compiled[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(eager[2], compiled[2])


def test_ranges_and_moments():
    key = root_key(0, "probe")
    flat = uniform(key, "a", [20_000], -5.0, 5.0).numpy()
    assert flat.min() >= -5
    assert flat.max() < 5
    assert abs(flat.mean()) < 0.1  # 5 standard errors
    means, scales = tf.constant([1.0, -1.0]), tf.constant([2.0, 0.5])
    bell = normal(key, "b", [20_000, 2], means, scales).numpy()
    np.testing.assert_allclose(bell.mean(0), [1, -1], atol=0.08)
    np.testing.assert_allclose(bell.std(0), [2, 0.5], rtol=0.03)
