"""Sentences and tables of the report, from an evaluation of four numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from meta_shrink.reporting import evaluation_file, wording
from meta_shrink.reporting.comparison import comparison_rows
from meta_shrink.reporting.evaluation_file import Estimate
from meta_shrink.reporting.exhibits import all_exhibits
from meta_shrink.reporting.methods import over_seeds
from meta_shrink.reporting.size_quality import size_quality_rows


def scheme(name: str, kind: str, modules: list[str], mean: list[float]) -> dict[str, Any]:
    return {"name": name, "kind": kind, "modules": modules, "steps": [0, 5, 20], "mean": mean,
            "ci95": [0.1, 0.2, 0.3]}  # fmt: skip


def module(name: str, size: int, sigma2: float) -> dict[str, Any]:
    return {"name": name, "size": size, "share": size / 100, "bytes": 4 * size, "sigma2": sigma2,
            "task_specific": sigma2 > 0.1}  # fmt: skip


NOT_LEARNED = {"rule": "none", "value": 0, "modules": [], "share": 0.0, "bytes": 0}


def evaluation(**changes: Any) -> dict[str, Any]:
    """Two modules of 10 and 90 parameters; training adapted for 5 steps."""
    facts = {
        "experiment": "small",
        "algorithm": "sigma_reptile",
        "meta_step": 7,
        "metric": {"name": "mean squared error", "lower_is_better": True},
        "num_tasks": 30,
        "train_adaptation_steps": 5,
        "modules": [module("a", 10, 0.5), module("b", 90, 1e-5)],
        "selection": {"rule": "threshold", "value": 0.1, "modules": ["a"], "share": 0.1,
                      "bytes": 40},
        "schemes": [
            scheme("all modules", "all", ["a", "b"], [4.0, 2.0, 1.0]),
            scheme("selected modules", "selected", ["a"], [4.0, 3.0, 2.5]),
            scheme("a", "single", ["a"], [4.0, 3.0, 2.5]),
            scheme("b", "single", ["b"], [4.0, 2.2, 5.0]),
            scheme("no adaptation", "none", [], [4.0, 4.0, 4.0]),
        ],
        "environment": {},
    }  # fmt: skip
    return evaluation_file.check_evaluation(facts | changes)


def test_the_headline_by_hand():
    assert wording.headline(evaluation()) == (
        "Of 2 modules, 1 is task-specific: a – 10.0 % of the parameters, 40 bytes per task. Its "
        "σ² is at least 50,000 times that of any other. After 5 adaptation steps, adapting it "
        "alone gives a held-out mean squared error of 3.00 ± 0.20; adapting everything gives "
        "2.00 ± 0.20; adapting nothing gives 4.00 ± 0.20."
    )


def test_a_headline_claims_nothing_that_a_rule_put_in():
    """Variances of 1.53 and 0.88 under top_k 1 were once "1 is task-specific"."""
    rule = {"rule": "top_k", "value": 1, "modules": ["a"], "share": 0.1, "bytes": 40}
    modules = [module("a", 10, 1.53), module("b", 90, 0.88) | {"task_specific": False}]
    assert wording.discovery(evaluation(modules=modules, selection=rule)) == (
        "The rule, the 1 largest σ², chose 1 of 2 modules: a – 10.0 % of the parameters, 40 bytes "
        "per task. σ² does not separate them: the least of theirs is 1.7 times the largest of the "
        "others, and 100 times would be a finding."
    )
    all_of_them = rule | {"value": 2, "modules": ["a", "b"], "share": 1.0, "bytes": 400}
    modules = [module("a", 10, 1.53), module("b", 90, 0.88)]
    assert wording.discovery(evaluation(modules=modules, selection=all_of_them)) == (
        "The rule, the 2 largest σ², chose 2 of 2 modules: a, b – 100.0 % of the parameters, 400 "
        "bytes per task."
    )


def not_separated() -> dict[str, Any]:
    none = {"rule": "gap", "value": 100, "modules": [], "share": 0.0, "bytes": 0}
    modules = [module("a", 10, 3.2), module("b", 90, 0.8)]
    modules = [m | {"task_specific": False} for m in modules]
    schemes = [
        scheme("all modules", "all", ["a", "b"], [4.0, 2.0, 1.0]),
        scheme("the largest σ²", "ranked", ["a"], [4.0, 3.0, 2.5]),
        scheme("no adaptation", "none", [], [4.0, 4.0, 4.0]),
    ]
    return evaluation(modules=modules, selection=none, schemes=schemes)


def test_variances_that_are_not_separated_are_called_so():
    assert wording.headline(not_separated()) == (
        "The σ² of the 2 modules are not separated: no rule was met (a gap of 100 times between "
        "neighbouring σ²), and the widest gap between neighbours is 4 times. What each size costs "
        "in quality is shown instead. After 5 adaptation steps, adapting everything gives a "
        "held-out mean squared error of 2.00 ± 0.20; adapting nothing gives 4.00 ± 0.20."
    )


def test_what_each_size_costs_in_quality():
    assert size_quality_rows(not_separated()) == [
        [0, 0, 4.0, 0.2],
        [1, 40, 3.0, 0.2],
        [2, 400, 2.0, 0.2],
    ]
    assert size_quality_rows(evaluation()) == []
    drawn = {exhibit.stem: exhibit for exhibit in all_exhibits(not_separated(), [])}
    assert drawn["size_quality"].figure is not None
    (line,) = (
        line for line in drawn["size_quality"].figure.axes[0].lines if line.get_marker() == "o"
    )
    assert np.asarray(line.get_xdata()).tolist() == [0, 40, 400]
    assert np.asarray(line.get_ydata()).tolist() == [4.0, 3.0, 2.0]


def test_metric_is_taken_where_the_evaluation_quotes_it():
    quoted = evaluation(quoted_steps=20)
    first = quoted["schemes"][0]
    assert evaluation_file.at_horizon(quoted, first) == (20, 1.0, 0.3)
    assert evaluation_file.at_horizon(evaluation(), first) == (5, 2.0, 0.2)
    assert "After 20 adaptation steps" in wording.headline(quoted)


def test_the_table_of_schemes_by_hand():
    table = wording.scheme_table(evaluation())
    rows = {row[0]: row for row in table.rows}
    #                             modules, share, tasks; horizon, best, last: step, mean, interval
    assert rows["all modules"][1:] == [2, 1.0, 30, 5, 2.0, 0.2, 20, 1.0, 0.3, 20, 1.0, 0.3, "", ""]
    assert rows["selected modules"][1:3] == [1, 0.1]
    assert rows["b"][1:] == [1, 0.9, 30, 5, 2.2, 0.2, 5, 2.2, 0.2, 20, 5.0, 0.3, "", ""]
    assert table.marked == [1]
    readable = wording.readable_schemes(evaluation())
    assert readable.rows[1][1:] == ["3.00 ± 0.20", "2.50 ± 0.30", "2.5 (step 20)"]
    assert readable.columns == ["what adapts", "after 5 steps", "after 20 steps", "best mean"]


def test_differences_to_adapting_everything_are_shown_where_they_were_measured():
    found = evaluation()
    less = {"step": 5, "mean": 1.0, "ci95": 0.03, "num_tasks": 30}
    found["schemes"][1]["less_everything"] = less
    found["schemes"][3]["less_everything"] = less | {"mean": -0.25}
    readable = {row[0]: row[2] for row in wording.readable_schemes(found).rows}
    assert (readable["all modules"], readable["a"]) == ("", "")
    assert (readable["selected modules"], readable["b"]) == ("+1.000 ± 0.030", "-0.250 ± 0.030")
    assert {row[0]: row[-2:] for row in wording.scheme_table(found).rows}["b"] == [-0.25, 0.03]
    assert (
        "adapting it alone gives a held-out mean squared error of 3.00 ± 0.20 (+1.000 ± 0.030 "
        "against adapting everything, task by task); adapting everything gives 2.00 ± 0.20;"
    ) in wording.headline(found)


def test_accuracies_rank_the_other_way():
    other = evaluation(metric={"name": "accuracy", "lower_is_better": False})
    assert evaluation_file.best_of(other, other["schemes"][3]) == (20, 5.0, 0.3)
    assert evaluation_file.badness(other, other["schemes"][0]) == -2.0


def test_the_best_single_choice_is_not_one_that_diverged():
    found = evaluation(selection=NOT_LEARNED)
    found["schemes"][3]["mean"][1] = math.nan
    assert "adapting only a, the best single choice, gives a held-out" in wording.headline(found)


@pytest.mark.parametrize(
    ("count", "text"), [(9_999, "9,999 bytes"), (12_300, "12.3 kB"), (4_560_000, "4.56 MB")]
)
def test_bytes(count, text):
    assert evaluation_file.readable_bytes(count) == text


@pytest.mark.parametrize(("share", "text"), [(0.0, "0.0 %"), (0.0004, "< 0.1 %"), (0.25, "25.0 %")])
def test_shares(share, text):
    assert evaluation_file.readable_share(share) == text


def test_rows_of_the_log_are_sorted_by_step(tmp_path):
    rows = [{"step": 20, "kind": "train"}, {"step": 10, "kind": "eval"}, {"note": 1}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [row["step"] for row in evaluation_file.load_metrics(tmp_path)] == [10, 20]


def test_numbers_are_those_of_the_last_recorded_step_that_is_not_beyond():
    curve = {"steps": [4, 5, 6], "mean": [4.0, 5.0, 6.0], "ci95": [0.4, 0.5, 0.6]}
    assert evaluation_file.estimate_at(curve, 5) == (5, 5.0, 0.5)
    assert evaluation_file.estimate_at(curve, 5.9) == (5, 5.0, 0.5)
    assert evaluation_file.estimate_at(curve, 3) == (4, 4.0, 0.4)  # none is earlier


def test_the_rows_of_a_comparison_by_hand():
    columns, [row] = comparison_rows([("mine", evaluation())])
    found = dict(zip(columns, row, strict=True))
    assert (found["algorithm"], found["meta_step"], found["adaptation_steps"]) == ("mine", 7, 5)
    assert (found["all mean"], found["all ci95"], found["selected mean"]) == (2.0, 0.2, 3.0)
    assert (found["none mean"], found["a mean"], found["b mean"]) == (4.0, 3.0, 2.2)
    assert found["task_specific"] == "a"


def test_a_comparison_has_no_mean_over_seeds_of_which_one_diverged():
    estimates = [Estimate(5, 0.5, 0.1), Estimate(5, math.nan, math.nan)]
    assert math.isnan(over_seeds(estimates).mean)
    # Two seeds, 1 and 3: standard deviation sqrt 2, Student's t of one degree of freedom 12.706.
    interval = over_seeds([Estimate(5, 1.0, 0.1), Estimate(5, 3.0, 0.1)])
    assert (interval.mean, interval.ci95) == (2.0, pytest.approx(12.7062, rel=1e-5))
