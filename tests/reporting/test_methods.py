"""Methods over seeds: their means and intervals by hand, the tables, the figure."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from meta_shrink import UsageError
from meta_shrink.reporting import methods_figure
from meta_shrink.reporting.evaluation_file import Estimate
from meta_shrink.reporting.methods import Compared, method_row, modules_found, over_seeds
from meta_shrink.reporting.methods_table import all_numbers, caption, readable_rows, write_methods
from tests.reporting_samples import PNG, read_csv, small, write_run

LABEL = "held-out error (lower is better)"


def evaluated(value: float, algorithm: str = "sigma_reptile", found: str = "w0 b0") -> dict:
    """An evaluation whose every scheme has this metric, +- 0.01, where results are quoted."""
    evaluation = small(algorithm=algorithm)
    for scheme in evaluation["schemes"]:
        scheme["mean"] = [9.0] * (len(scheme["steps"]) - 1) + [value]
        scheme["ci95"] = [9.0] * (len(scheme["steps"]) - 1) + [0.01]
    if algorithm.startswith("sigma"):
        names = found.split()
        evaluation["selection"] |= {"modules": names, "bytes": 160 * len(names)}
    return evaluation


def with_inductive(evaluation: dict, shift: float) -> dict:
    for scheme in evaluation["schemes"]:
        scheme["inductive_mean"] = [mean + shift for mean in scheme["mean"]]
        scheme["inductive_ci95"] = [0.02] * len(scheme["steps"])
    return evaluation


def row_of(*evaluations: dict, label: str = "sigma_reptile", timing: Any = (), **method: Any):
    workdirs = [f"run_{i}" for i in range(len(evaluations))]
    return method_row(Compared(label, workdirs, 3, **method), evaluations, timing)


def test_interval_over_seeds_is_student_s():
    three = over_seeds([Estimate(5, value, 9.0) for value in (0.1, 0.2, 0.3)])
    # Standard deviation 0.1; t of 2 degrees of freedom at 97.5 %: 4.302653.
    assert three.mean == pytest.approx(0.2)
    assert three.ci95 == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    two = over_seeds([Estimate(5, 1.0, 9.0), Estimate(5, 3.0, 9.0)])
    assert (two.mean, two.ci95) == (2.0, pytest.approx(12.706205, rel=1e-6))
    assert str(two) == "2 ± 13"


def test_interval_of_one_seed_is_that_over_tasks():
    assert over_seeds([Estimate(5, 0.5, 0.125)])[:2] == (0.5, 0.125)


def test_a_seed_that_diverged():
    interval = over_seeds([Estimate(5, 0.5, 0.1), Estimate(5, math.inf, math.nan)])
    assert str(interval) == "diverged in 1 of 2 seeds"
    assert str(over_seeds([Estimate(5, math.inf, math.nan)])) == "diverged"


def test_a_row():
    timing = [{"step": i, "seconds_per_step": s} for i, s in enumerate((9.0, 0.2, 0.1, 0.3, 0.2))]
    timing[1]["peak_rss_mib"], timing[3]["peak_rss_mib"] = 700.0, 800.5
    evaluations = [evaluated(0.1), evaluated(0.3, found="w0"), evaluated(0.2, found="b0 w2 b2")]
    row = row_of(*evaluations, timing=timing)
    assert set(row.measures) == {"everything", "task_specific"}
    assert row.measures["everything"].mean == pytest.approx(0.2)
    assert row.measures["everything"].step == 100
    assert row.found == {"w0": 2, "b0": 2, "w2": 1, "b2": 1}
    assert row.adapter_bytes == (160, 480)
    assert (row.meta_steps, row.seconds, row.peak_mib) == (60000, 0.2, 800.5)
    table = readable_rows([row])
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert cells["method"] == "σ-Reptile" and cells["seeds"] == "3/3"
    assert cells["everything adapts"] == "0.20 ± 0.25"
    assert cells["selected by the rule (seeds)"] == "w0 (2/3), b0 (2/3), w2 (1/3), b2 (1/3)"
    assert cells["stored per task"] == "160 bytes to 480 bytes"


def test_a_method_that_learns_no_sigma2_stores_everything():
    row = row_of(evaluated(0.1, "maml"), label="maml")
    assert row.found is None and modules_found([evaluated(0.1, "maml")]) is None
    assert row.adapter_bytes == (960, 960)
    assert "task_specific" not in row.measures and math.isnan(row.peak_mib)
    cells = readable_rows([row, row_of(evaluated(0.1))]).rows[0]
    assert cells[3:6] == ["–", "–", "960 bytes"] and cells[-2:] == ["–", "–"]


def test_inductive_stands_beside_transductive():
    row = row_of(with_inductive(evaluated(0.5), 0.25), with_inductive(evaluated(0.5), 0.35))
    assert row.measures["everything"].mean == 0.5
    assert row.measures["everything_inductive"].mean == pytest.approx(0.8)
    assert row.measures["task_specific_inductive"].values == (0.75, 0.85)
    assert "Inductive:" in caption("x", LABEL, [row])
    assert "everything, inductive" in readable_rows([row]).columns
    assert "Inductive:" not in caption("x", LABEL, [row_of(evaluated(1.0))])


def test_seeds_without_a_scheme_are_told():
    nothing = evaluated(0.2)
    nothing["schemes"] = [s for s in nothing["schemes"] if s["kind"] != "selected"]
    row = row_of(evaluated(0.1), nothing)
    cells = readable_rows([row]).rows[0]
    assert cells[3] == "0.100 ± 0.010 (1 of 2 seeds) †"
    words = caption("set", LABEL, [row])
    assert "over seeds (Student's t; 100 held-out tasks each); with † over the 100" in words


def test_the_caption_says_what_intervals_are_over():
    one, two = row_of(evaluated(0.1)), row_of(evaluated(0.1), evaluated(0.2))
    assert caption("s", LABEL, [one]).endswith("over the 100 held-out tasks of one seed.")
    assert "†" not in " ".join(readable_rows([one]).rows[0])
    assert caption("s", LABEL, [two]).endswith("over seeds (Student's t; 100 held-out tasks each).")
    assert "after 100 adaptation steps" in caption("s", LABEL, [two])


def test_x_is_a_column():
    rows = [row_of(evaluated(0.1), x=x, x_label="instances") for x in (1, 2.5)]
    table = readable_rows(rows)
    assert table.columns[1] == "instances" and [row[1] for row in table.rows] == ["1", "2.5"]
    other = row_of(evaluated(0.1), x=1, x_label="alphabets")
    table = readable_rows([*rows, other])
    assert table.columns[1:3] == ["at", "x"] and table.rows[2][1:3] == ["alphabets", "1"]
    columns, lines = all_numbers(rows)
    assert dict(zip(columns, lines[1], strict=True))["x"] == 2.5


def test_pairs_stand_side_by_side():
    labels = ("maml", "reptile", "fomaml", "sigma_reptile", "sigma_maml", "σ-own", "own")
    rows = [row_of(evaluated(0.1), label=label) for label in labels]
    titles = [row.title for row in methods_figure.paired(rows)]
    assert titles == ["MAML", "σ-MAML", "Reptile", "σ-Reptile", "FOMAML", "own", "σ-own"]


def runs(folder: Path, label: str, values: tuple[float, ...]) -> list[Path]:
    found = []
    for i, value in enumerate(values):
        workdir = write_run(folder / f"{label}{i}", evaluated(value, label))
        row = {"step": 5, "seconds_per_step": 0.5, "peak_rss_mib": 600.0}
        (workdir / "timing.jsonl").write_text(json.dumps(row) + "\n")
        found.append(workdir)
    return found


def test_files(tmp_path):
    methods = [
        Compared("maml", runs(tmp_path, "maml", (0.2, 40.0, math.nan)), 3),
        Compared("sigma_maml", runs(tmp_path, "sigma_maml", (0.1, 0.12)), 3),
        Compared("imaml", [], 3),
        Compared("reptile", runs(tmp_path, "reptile", (3.0,)), 3),
    ]
    table = write_methods(tmp_path / "out", "my set", methods, "Made by me.")
    assert [row[:2] for row in table.rows] == [
        ["MAML", "3/3"],
        ["σ-MAML", "2/3"],
        ["Reptile", "1/3"],
    ]
    text = (tmp_path / "out" / "methods.md").read_text(encoding="utf-8")
    assert text.startswith("my set: held-out mean squared error (lower is better) after 100")
    assert "| MAML | 3/3 | diverged in 1 of 3 seeds |" in text and "Made by me." in text
    rows = read_csv(tmp_path / "out" / "methods.csv")
    assert float(rows[1]["everything_mean"]) == pytest.approx(0.11)
    assert rows[0]["everything_mean"] == "nan" and rows[1]["task_specific_modules"] == "w0:2 b0:2"
    assert rows[2]["seconds_per_meta_step"] == "0.5" and rows[2]["peak_rss_mib"] == "600.0"
    assert (tmp_path / "out" / "methods.png").read_bytes().startswith(PNG)


def test_figure_over_x(tmp_path):
    at = [(label, x) for label in ("reptile", "sigma_reptile") for x in (1, 5)]
    methods = [
        Compared(label, runs(tmp_path / str(x), label, (0.2, 0.3)), 2, x, "alphabets")
        for label, x in at
    ]
    write_methods(tmp_path, "over x", methods, "")
    assert (tmp_path / "methods.png").read_bytes().startswith(PNG)
    rows = [row_of(evaluated(0.1), label=m.label, x=m.x, x_label=m.x_label) for m in methods]
    figure = methods_figure.methods_figure(rows, LABEL, logarithmic=True)
    (axes,) = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Reptile", "σ-Reptile"]
    assert axes.get_xlabel() == "alphabets"


def test_what_makes_no_table(tmp_path):
    with pytest.raises(UsageError, match="no finished run"):
        write_methods(tmp_path, "empty", [Compared("maml", [], 3)], "")
    one, other = small(), small() | {"metric": {"name": "accuracy", "lower_is_better": False}}
    workdirs = [write_run(tmp_path / "a", one), write_run(tmp_path / "b", other)]
    with pytest.raises(UsageError, match="2 metrics"):
        write_methods(tmp_path, "mixed", [Compared("maml", workdirs, 2)], "")
