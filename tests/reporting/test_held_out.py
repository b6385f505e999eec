"""Parts adapted alone on fewer tasks and for fewer steps: every number says which it is of."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from meta_shrink.reporting import wording, write_comparison, write_report
from meta_shrink.reporting.comparison import comparison_rows
from meta_shrink.reporting.held_out import held_out_tasks
from tests.reporting.test_wording import evaluation
from tests.reporting_samples import read_csv, write_run

KINDS = ("all", "selected", "single", "none")


def short(tasks: int, end: int, kinds: tuple[str, ...] = KINDS) -> dict[str, Any]:
    """6 tasks of 20 steps; of the parts adapted alone `tasks`, until step `end`."""
    found = copy.deepcopy(evaluation(num_tasks=6))
    found["schemes"] = [s for s in found["schemes"] if s["kind"] in kinds]
    for scheme in found["schemes"]:
        alone = scheme["kind"] == "single"
        scheme["num_tasks"] = tasks if alone else 6
        for key in ("steps", "mean", "ci95") if alone else ():
            scheme[key] = [x for x, s in zip(scheme[key], [0, 5, 20], strict=True) if s <= end]
    return found


@pytest.mark.parametrize(
    ("tasks", "end", "columns", "cells"),
    [
        (6, 20, [], ["3.00 ± 0.20", "2.50 ± 0.30"]),
        (6, 5, [], ["3.00 ± 0.20", "3.00 ± 0.20 (after 5)"]),
        (2, 20, ["tasks"], ["2", "3.00 ± 0.20", "2.50 ± 0.30"]),
        (2, 5, ["tasks"], ["2", "3.00 ± 0.20", "3.00 ± 0.20 (after 5)"]),
    ],
)
def test_the_table_says_tasks_and_steps_that_are_others(tasks, end, columns, cells):
    table = wording.readable_schemes(short(tasks, end))
    assert table.columns == [
        "what adapts",
        *columns,
        "after 5 steps",
        "after 20 steps",
        "best mean",
    ]
    rows = {row[0]: row[1:-1] for row in table.rows}
    assert rows["a"] == cells
    assert rows["all modules"] == [*(["6"] if columns else []), "2.00 ± 0.20", "1.00 ± 0.30"]


def test_the_columns_are_those_of_the_longest_scheme_in_any_order():
    found = short(2, 5)
    found["schemes"].reverse()
    assert wording.readable_schemes(found).columns[2:4] == ["after 5 steps", "after 20 steps"]
    assert wording.readable_schemes(short(2, 5, ("single",))).columns == [
        "what adapts", "after 5 steps", "best mean"]  # fmt: skip


@pytest.mark.parametrize(
    ("tasks", "kinds", "words"),
    [
        (6, KINDS, "6 held-out tasks"),
        (2, KINDS, "6 held-out tasks (2 where one part adapts alone)"),
        (2, ("all", "selected", "none"), "6 held-out tasks"),
        (2, ("single",), "2 held-out tasks"),
    ],
)
def test_the_page_and_the_comparison_say_how_many_tasks(tasks, kinds, words, tmp_path):
    found = short(tasks, 5, kinds)
    page = write_report(write_run(tmp_path, found)).read_text(encoding="utf-8")
    assert f"Mean over {words} after" in page and f"interval over\n{words}." in page
    if "single" in kinds:
        assert f"adapts to each of {tasks} held-out tasks" in page
    assert ("The lines are those of 6 tasks." in page) is (tasks == 2 and kinds == KINDS)
    counts = {row["what adapts"]: row["tasks"] for row in read_csv(tmp_path / "report/schemes.csv")}
    assert counts.get("a", f"{tasks}") == f"{tasks}" and counts.get("all modules", "6") == "6"
    text = write_comparison(tmp_path / "out", [found]).read_text(encoding="utf-8")
    assert f"interval over {words}, after 5" in text
    assert ("(comparison.png)" in text) is ("all" in kinds)
    assert (tmp_path / "out/comparison.png").exists() is ("all" in kinds)
    columns, [row] = comparison_rows([("mine", found)])
    row = dict(zip(columns, row, strict=True))
    assert row.get("a tasks", tasks) == tasks and row["all tasks"] in (6, "")


def test_counts_of_several_runs_and_of_older_files():
    old = evaluation(num_tasks=1000)  # Its schemes have no number of their own.
    assert held_out_tasks([old]) == "1,000 held-out tasks"
    assert held_out_tasks([old, short(2, 5)]) == (
        "6 or 1,000 held-out tasks (2 or 1,000 where one part adapts alone)"
    )
