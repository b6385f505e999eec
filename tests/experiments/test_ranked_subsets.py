"""Where variances are not separated, evaluation adapts the largest of them, one more at a time."""

from __future__ import annotations

import pytest

from meta_shrink.experiments.subsets import RANKED_SIZES, ranked


def test_one_more_module_at_a_time_from_the_largest_down():
    found = ranked(["a", "b", "c", "d"], [0.1, 3.0, -1.0, 2.0])
    assert [(scheme.name, scheme.kind, scheme.modules) for scheme in found] == [
        ("the largest σ²", "ranked", ("b",)),
        ("the 2 largest σ²", "ranked", ("b", "d")),
        ("the 3 largest σ²", "ranked", ("a", "b", "d")),
    ]


@pytest.mark.parametrize("count", [8, 123])
def test_many_modules_have_a_few_sizes(count):
    names = [f"m{number}" for number in range(count)]
    sizes = [len(s.modules) for s in ranked(names, list(range(count, 0, -1)))]
    assert sizes == sorted(set(sizes)) and len(sizes) <= RANKED_SIZES
    assert sizes[0] == 1 and sizes[-1] == count - 1


def test_one_module_has_no_ranking():
    assert ranked(["a"], [0.0]) == []
