"""The alternative texts of the figures: their numbers, in words."""

from __future__ import annotations

import html
import re

import pytest

from meta_shrink.reporting import write_report
from meta_shrink.reporting.alt_text import MOST, alt_text
from tests.reporting_samples import large, metric_rows, read_csv, small, with_extras, write_run


@pytest.mark.parametrize(
    ("stem", "columns", "rows", "said"),
    [
        (
            "sigma2",
            ["module", "sigma2", "task_specific"],
            [["a", 1e-5, False], ["b", 0.25, True], ["c", "inf", False]],
            "c inf; b 0.25 (task-specific); a 1e-05.",
        ),
        (
            "size_quality",
            ["modules that adapt", "bytes a task", "mean", "ci95"],
            [[0, 0, 2.5, 0.5], [2, 1320, 0.125, 0.03125]],
            "0 modules, 0 bytes: 2.5 ± 0.5; 2 modules, 1,320 bytes: 0.125 ± 0.0312.",
        ),
        ("single_modules", [], [["a", 8, 1.5, 0.25]], "a alone 1.5 ± 0.25."),
        (
            "adaptation",
            ["what adapts", "step", "mean", "ci95"],
            [["all", 0, 3.0, 0.1], ["all", 5, 1.0, 0.1], ["b", 0, 3.0, 0.1], ["b", 5000, 2.0, 0.1]],
            "all from 3 at step 0 to 1 at 5; b from 3 at step 0 to 2 at 5,000.",
        ),
        (
            "learning_curves",
            ["step", "kind", "nll_val", "metric", "sigma2/a"],
            [
                [10, "train", 2.0, None, 0.5],
                [10, "eval", None, 4.0, None],
                [20, "train", 1.0, None, 0.25],
                [20, "eval", None, 3.0, None],
            ],
            "nll_val from 2 at meta-step 10 to 1 at 20; metric from 4 at meta-step 10 to 3 at 20; "
            "sigma2/a from 0.5 at meta-step 10 to 0.25 at 20.",
        ),
        (
            "parameter_error",
            ["parameter", "step", "error"],
            [["w", 0, 1.0], ["w", 9, 0.5]],
            "w from 1 at step 0 to 0.5 at 9.",
        ),
        (
            "examples",
            ["task", "curve", "x", "y"],
            [[0, "truth", -1.0, 2.0], [0, "truth", 1.0, -2.0], [1, "truth", -1.0, 0.5]],
            "task 0, truth from 2 at x -1 to -2 at 1; task 1, truth from 0.5 at x -1 to 0.5 at -1.",
        ),
    ],
)
def test_numbers_in_words(stem, columns, rows, said):
    assert alt_text(stem, columns, rows) == said


def test_many_are_cut_short_and_the_file_is_named():
    rows = [[f"m{n}", float(n), False] for n in range(100)]
    said = alt_text("sigma2", [], rows)
    assert said.startswith("m99 99; m98 98; ")
    assert said.count("; ") == MOST - 1 and said.endswith("m88 88 and 88 more in sigma2.csv.")


@pytest.mark.parametrize("evaluation", [with_extras(small()), large()], ids=["small", "large"])
def test_every_figure_of_a_page_has_its_numbers(tmp_path, evaluation):
    page = write_report(write_run(tmp_path, evaluation, metric_rows(evaluation)))
    texts = re.findall(r'alt="([^"]*)"', page.read_text(encoding="utf-8"))
    images = re.findall(r"<img ", page.read_text(encoding="utf-8"))
    assert len(texts) == len(images) > 3
    assert all(re.search(r"\d", text) for text in texts)
    sigma2 = read_csv(page.parent / "sigma2.csv")
    largest = max(sigma2, key=lambda row: float(row["sigma2"]))
    assert f"{largest['module']} {float(largest['sigma2']):.3g}" in html.unescape(texts[0])
