"""The report and the comparison, on evaluations made here: few modules, many, and odd ones."""

from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta_shrink.errors import ArtefactError, UsageError
from meta_shrink.reporting import (
    check_evaluation,
    findings,
    load_evaluation,
    summary,
    write_comparison,
    write_report,
)

ROOT = Path(__file__).resolve().parent.parent
PNG = b"\x89PNG\r\n\x1a\n"


def scheme(name, kind, modules, steps, end, start=3.2, spread=0.15):
    """A curve that falls from `start` to `end`, +- 15 %."""
    falling = end + (start - end) * np.exp(-np.array(steps) / (0.12 * steps[-1]))
    return {
        "name": name,
        "kind": kind,
        "modules": modules,
        "steps": steps,
        "mean": falling.tolist(),
        "ci95": (spread * np.abs(falling)).tolist(),
    }


def make_evaluation(names, special, groups, *, algorithm="sigma_reptile", steps=None, share=0.046):
    """An evaluation.json in which the modules of `special` have the large sigma^2."""
    steps = steps or [0, 1, 2, 5, 10, 20, 35, 60, 80, 100]
    rng = np.random.default_rng(0)
    learned = algorithm.startswith("sigma")
    drawn = {n: 10 ** rng.uniform(-1, 0.5) if n in special else 1e-5 for n in names}
    singles = [
        scheme(group, "single", parts, steps, 0.13 if set(parts) & set(special) else 2.4)
        for group, parts in groups.items()
    ]
    selected = [scheme("task-specific modules", "selected", special, steps, 0.13)]
    return {
        "experiment": f"sinusoid:{algorithm}",
        "algorithm": algorithm,
        "meta_step": 60000,
        "metric": {"name": "mean squared error", "lower_is_better": True},
        "num_tasks": 100,
        "train_adaptation_steps": 100,
        "modules": [
            {
                "name": name,
                "size": 40,
                "share": 1 / len(names),
                "bytes": 160,
                "sigma2": drawn[name] if learned else "inf",
                "task_specific": learned and name in special,
            }
            for name in names
        ],
        "selection": {
            "rule": "threshold",
            "value": 0.001,
            "modules": special if learned else [],
            "share": share,
            "bytes": 160 * len(special),
        },
        "schemes": [
            scheme("all modules", "all", names, steps, 0.12),
            *(selected if learned else []),
            *singles,
            scheme("nothing", "none", [], steps, 3.2),
        ],
        "environment": {"python": "3.11", "command": "python -m launch.evaluate", "seconds": 12.5},
    }


def small(**options) -> dict[str, Any]:
    names = ["w0", "b0", "w1", "b1", "w2", "b2"]
    groups = {f"layer_{i + 1}": [f"w{i}", f"b{i}"] for i in range(3)}
    return make_evaluation(names, ["w0", "b0"], groups, **options)


def large() -> dict[str, Any]:
    """WaveNet's 123 modules, of which 12 are task-specific, each adapted alone."""
    parts = ("dilated_conv", "condition", "residual", "skip")
    names = ["input_conv", "input_skip"] + [f"block_{b}/{p}" for b in range(30) for p in parts]
    names += ["output"]
    special = [f"block_{b}/dilated_conv" for b in range(10, 22)]
    steps = [0, 1, 10, 100, 1000, 10000]
    groups = {name: [name] for name in names}
    return make_evaluation(names, special, groups, steps=steps, share=0.16)


def metric_rows(evaluation):
    """Training that settles at the evaluation's sigma^2."""
    rows = []
    for step in range(0, 60001, 1000):
        done = 1 - math.exp(-step / 15000)
        row = {
            "step": step,
            "kind": "train",
            "nll_val": 3 - 2.8 * done,
            "nll_train": 2 - 1.9 * done,
        }
        for module in evaluation["modules"]:
            final = float(module["sigma2"])
            row[f"sigma2/{module['name']}"] = 0.1 * (final / 0.1) ** done if final < 9 else "inf"
        row |= {"cg/residual_norm": 1e-3, "tasks/nonfinite": 0}
        rows.append(row)
        if step % 10000 == 0:
            rows.append({"step": step, "kind": "eval", "metric": 3.2 - 3.07 * done})
    return rows


def with_extras(evaluation):
    """Adds what generated tasks have: parameter errors and example predictions."""
    steps = [0, 1, 3, 10, 30, 100, 300, 1000]
    x = np.linspace(-5, 5, 60)
    names = [f"theta_{i}" for i in range(1, 9)]
    mean = [[1.5 * math.exp(-s / 40) + 0.2 + 1e-4 * s * i for s in steps] for i in range(8)]
    examples = [
        {
            "x": x.tolist(),
            "truth": (a * np.sin(x)).tolist(),
            "train_x": [-4, -1, 0.5, 3],
            "train_y": [a * math.sin(v) for v in (-4, -1, 0.5, 3)],
            "predictions": {
                s["name"]: (a * 0.9 * np.sin(x + s["mean"][-1] / 3)).tolist()
                for s in evaluation["schemes"]
            },
        }
        for a in (1.0, 3.0, 4.0)
    ]
    error = {"names": names, "steps": steps, "mean": mean}
    return evaluation | {"parameter_error": error, "examples": examples}


def write_run(workdir: Path, evaluation, rows=()) -> Path:
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "evaluation.json").write_text(json.dumps(evaluation))
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (workdir / "config.json").write_text(json.dumps({"seed": 1, "meta": {"steps": 60000}}))
    return workdir


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    """Counts tags and their `src` and `href`; every tag but the void ones must be closed."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.targets += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report_of_six_modules(tmp_path):
    evaluation = with_extras(small())
    page = write_report(write_run(tmp_path, evaluation, metric_rows(evaluation)))
    text = page.read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.open == []
    assert len(parsed.targets) == 6  # Images, and all of them inside the file.
    assert all(target.startswith("data:image/png;base64,") for target in parsed.targets)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert "Of 6 modules, 2 are task-specific: w0, b0 – 4.6 % of the parameters" in text
    assert "After 100 adaptation steps, adapting them alone gives a held-out mean squared" in text
    stems = "sigma2 single_modules adaptation learning_curves parameter_error examples".split()
    for stem in stems:
        assert (page.parent / f"{stem}.png").read_bytes().startswith(PNG)
        assert read_csv(page.parent / f"{stem}.csv")
    sigma2 = read_csv(page.parent / "sigma2.csv")
    assert [row["module"] for row in sigma2] == ["w0", "b0", "w1", "b1", "w2", "b2"]
    assert float(sigma2[0]["sigma2"]) == evaluation["modules"][0]["sigma2"]
    assert len(read_csv(page.parent / "modules.csv")) == 6
    assert len(read_csv(page.parent / "schemes.csv")) == 6


def test_report_of_123_modules(tmp_path):
    evaluation = large()
    page = write_report(write_run(tmp_path, evaluation, metric_rows(evaluation)))
    text = page.read_text(encoding="utf-8")
    assert "Of 123 modules, 12 are task-specific: block_10/dilated_conv, " in text
    assert "and 4 more – 16.0 % of the parameters" in text
    assert "when everything adapts for 10,000 steps" in text
    assert len(read_csv(page.parent / "modules.csv")) == 123


def test_two_reports_of_one_run_are_equal(tmp_path):
    run = write_run(tmp_path, small())
    first = write_report(run).read_bytes()
    assert write_report(run, tmp_path / "again").read_bytes() == first


def test_sigma2_that_is_not_learned(tmp_path):
    stale = tmp_path / "report" / "sigma2.png"
    write_report(write_run(tmp_path, small()))
    assert stale.exists()
    page = write_report(write_run(tmp_path, small(algorithm="maml")))
    text = page.read_text(encoding="utf-8")
    assert not stale.exists()
    assert "MAML does not learn σ². It is fixed at ∞ (no prior)" in text
    assert "adapting only layer_1, the best single choice, gives a held-out mean squared" in text
    assert "There are no learning curves" in text


@pytest.mark.parametrize(
    ("values", "learned"),
    [
        ([0.3, 1e-5], True),
        ([1e-5, 1e-5], True),  # All on the floor: learned, and collapsed.
        (["inf", "inf"], False),
        (["-inf", 0], False),
        ([0.5, 0.5], False),  # iMAML's 1/lambda.
        ([0.5], True),
        (["inf", 0.5], True),
    ],
)
def test_sigma2_is_learned(values, learned):
    assert findings.sigma2_is_learned({"modules": [{"sigma2": v} for v in values]}) is learned


@pytest.mark.parametrize(
    ("mean", "ci95", "text"),
    [
        (0.1234, 0.0187, "0.123 ± 0.019"),
        (12345.6, 321, "12,346 ± 321"),
        (0.97312, 0.0008, "0.97312 ± 0.00080"),
        (1.5, 0.0, "1.5"),
        (math.nan, 1.0, "diverged"),
        (2.0, math.nan, "2"),
    ],
)
def test_plus_minus(mean, ci95, text):
    assert findings.plus_minus(mean, ci95) == text


def test_metric_is_taken_at_the_training_horizon():
    curve = {"steps": [0, 90, 110], "mean": [3, 1, 2], "ci95": [0, 0, 0]}
    assert findings.estimate_at(curve, 100) == (90, 1, 0)
    evaluation = {"metric": {"lower_is_better": False}}
    assert findings.best_of(evaluation, curve).step == 0


def test_odd_values_are_drawn(tmp_path):
    evaluation = small()
    evaluation["modules"][1]["sigma2"], evaluation["modules"][2]["sigma2"] = "inf", 0
    evaluation["modules"][0]["name"] = "<b>$w_0$</b>"
    for curve in evaluation["schemes"]:
        curve["modules"] = [m if m != "w0" else "<b>$w_0$</b>" for m in curve["modules"]]
    evaluation["selection"]["modules"] = ["<b>$w_0$</b>", "b0"]
    evaluation["schemes"][2]["mean"] = ["nan"] * 10
    evaluation["schemes"][3]["mean"][-1] = None
    text = write_report(write_run(tmp_path, evaluation)).read_text(encoding="utf-8")
    assert "<b>" not in text
    assert "diverged" in text


def test_negative_metric_and_higher_is_better(tmp_path):
    evaluation = small()
    evaluation["metric"] = {"name": "log-likelihood", "lower_is_better": False}
    for curve in evaluation["schemes"]:
        curve["mean"] = [-value for value in curve["mean"]]
    text = write_report(write_run(tmp_path, evaluation)).read_text(encoding="utf-8")
    assert "higher is better" in text
    assert "vs everything" not in text


def test_no_module_selected():
    evaluation = small()
    evaluation["selection"] |= {"modules": []}
    evaluation["schemes"] = [s for s in evaluation["schemes"] if s["kind"] != "selected"]
    assert summary.headline(evaluation).startswith(
        "None of the 6 modules is task-specific (σ² above 0.001). After 100 adaptation steps, "
        "adapting everything gives a held-out mean squared error of 0.12"
    )


def test_missing_evaluation_names_the_command(tmp_path):
    with pytest.raises(ArtefactError, match=r"python -m launch\.evaluate --workdir=.*then report"):
        load_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.pop("schemes"), "lacks schemes"),
        (lambda e: e["modules"][0].pop("sigma2"), "modules lacks sigma2"),
        (lambda e: e["schemes"][0]["mean"].pop(), "equally long"),
        (lambda e: e["schemes"][0]["modules"].append("w9"), r"unknown modules \['w9'\]"),
        (lambda e: e["schemes"][0].update(kind="some"), "kind 'some'"),
        (lambda e: e["modules"].clear(), "no modules"),
        (lambda e: e.update(metric=3), "metric is not"),
    ],
)
def test_broken_evaluation(change, message):
    evaluation = small()
    change(evaluation)
    with pytest.raises(ArtefactError, match=message):
        check_evaluation(evaluation)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null"])
def test_evaluation_that_is_no_evaluation(tmp_path, content):
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(ArtefactError, match="is broken"):
        load_evaluation(tmp_path)


def test_unwritable_report_directory(tmp_path):
    run = write_run(tmp_path, small())
    (run / "report").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(run)


def test_comparison(tmp_path):
    evaluations = [with_extras(small()), with_extras(small(algorithm="maml"))]
    page = write_comparison(tmp_path / "out", evaluations)
    text = page.read_text(encoding="utf-8")
    rows = read_csv(page.with_name("comparison.csv"))
    assert [row["algorithm"] for row in rows] == ["σ-Reptile", "MAML"]
    assert rows[0]["task_specific"] == "w0, b0" and rows[1]["selected mean"] == ""
    assert float(rows[1]["layer_2 mean"]) == evaluations[1]["schemes"][2]["mean"][-1]
    assert "| only layer_3 |" in text and "| MAML | 0.12" in text
    for name in ("comparison.png", "parameter_error.png"):
        assert page.with_name(name).read_bytes().startswith(PNG)


def test_comparison_of_two_runs_of_one_algorithm(tmp_path):
    page = write_comparison(tmp_path, [small(), small()])
    assert "| σ-Reptile (sinusoid:sigma_reptile, run 2) |" in page.read_text(encoding="utf-8")
    assert not page.with_name("parameter_error.png").exists()


def test_comparison_of_different_metrics(tmp_path):
    other = small() | {"metric": {"name": "accuracy", "lower_is_better": False}}
    with pytest.raises(UsageError, match="2 metrics"):
        write_comparison(tmp_path, [small(), other])


def test_comparison_of_nothing(tmp_path):
    with pytest.raises(UsageError, match="no evaluation"):
        write_comparison(tmp_path, [])


def run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "launch.report", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_program_reports_and_compares(tmp_path):
    one = write_run(tmp_path / "one", small())
    two = write_run(tmp_path / "two", small(algorithm="maml"))
    assert run_program(f"--workdir={one}").returncode == 0
    assert (one / "report" / "index.html").is_file()
    done = run_program(f"--workdir={one},{two}", f"--out={tmp_path / 'both'}")
    assert done.stdout == f"Comparison: {tmp_path / 'both' / 'comparison.md'}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "workdir"),
        (["--workdir=absent"], 4, "python -m launch.evaluate --workdir=absent"),
        (["--wrkdir=absent"], 2, "wrkdir"),
        (["--workdir=absent", "more"], 2, "unexpected argument 'more'"),
        (["--workdir=a", "--workdir=b"], 2, "--out is missing"),
        (["--help"], 0, ""),
    ],
)
def test_program_exit_codes(arguments, code, message):
    done = run_program(*arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if code:
        assert done.stderr.count("error: ") == 1
