"""Ranges that a search can try; what it would leave out or change without a word is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from meta_shrink import UsageError
from meta_shrink.experiments.sweep_space import distribution_of, search_of
from tests.tiny_runs import changed, tiny_config

KEY, WHOLE = "train.meta_batch_size", "expected two whole numbers after 'int'"
REFUSED = [
    ((KEY, "int", 1.5, 3), WHOLE),
    ((KEY, "int", True, 3), WHOLE),
    ((KEY, "int", 1), WHOLE),
    ((KEY, "int", 1, 2, 3), WHOLE),
    ((KEY, "linear", math.nan, 3), "expected two finite numbers after 'linear'"),
    ((KEY, "log", 1, math.inf), "expected two finite numbers after 'log'"),
    ((KEY, "linear", "1", 2), "expected two finite numbers"),
    ((KEY, "log", 0, 3), "`low > 0` must hold"),
    ((KEY, "log", 3, 1), "`low <= high` must hold"),
    ((KEY, "choice", "ab"), "expected one list after 'choice'"),
    ((KEY, "choice", {"a": 1}), "expected one list after 'choice'"),
    ((KEY, "choice", [1, 2], 3), "expected one list after 'choice'"),
    ((KEY, "choice", 1, 2), "expected one list after 'choice'"),
    ((KEY, "choice", []), "must contain one or more"),
    ((KEY, "choice", [1, 2, 1]), "stands there twice"),
    ((KEY, "between", 1, 2), "expected \\(key, kind, low, high\\)"),
    ((3, "int", 1, 2), "expected \\(key, kind, low, high\\)"),
    ("abcd", "expected \\(key, kind, low, high\\)"),
    (5, "expected \\(key, kind, low, high\\)"),
    (("train.stepz", "int", 1, 2), "'train.stepz', which the config does not have"),
    # Each is the search's own, or is how the trials are measured.
    (("name", "choice", ["a", "b"]), "no setting of a trial"),
    (("train.steps", "int", 1, 2), "no setting of a trial"),
    (("train.eval_every", "int", 1, 2), "no setting of a trial"),
    (("search.steps", "int", 1, 2), "no setting of a trial"),
    (("eval.validation_tasks", "int", 1, 2), "no setting of a trial"),
]


def config(*rows):
    return changed(tiny_config("reptile"), {"search.space": list(rows)})


@pytest.mark.parametrize(("row", "sentence"), REFUSED)
def test_a_range_that_is_none_is_refused(row, sentence):
    with pytest.raises(UsageError, match=sentence):
        search_of(config(row))


def test_two_ranges_of_one_setting_are_refused():
    with pytest.raises(UsageError, match=f"{KEY} has a range already"):
        search_of(config((KEY, "int", 1, 4), (KEY, "int", 2, 3)))


def test_what_a_range_draws_from():
    rows = [
        ("adapt.learning_rate", "log", 1e-3, 1),
        ("prior.beta", "linear", 0, 1.0),
        (KEY, "int", 2, 8),
        ("seed", "int", 0, 3),
        ("train.clip_norm", "choice", [0.0, 1.0]),
        ("adapt.batch_size", "choice", [[1], [1, 2]]),
    ]
    found: list[Any] = [distribution_of(row) for row in search_of(config(*rows)).space]
    assert [getattr(one, "log", None) for one in found] == [True, False, True, False, None, None]
    assert [(one.low, one.high) for one in found[:4]] == [(1e-3, 1), (0, 1), (2, 8), (0, 3)]
    assert [one.choices for one in found[4:]] == [(0.0, 1.0), ([1], [1, 2])]
