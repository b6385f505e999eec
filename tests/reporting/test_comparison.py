"""The comparison of several runs, and the program that reports and compares."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meta_shrink import UsageError
from meta_shrink.reporting import write_comparison
from tests.reporting_samples import PNG, read_csv, small, with_extras, write_run

ROOT = Path(__file__).resolve().parents[2]


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
    made = f"Comparison: {tmp_path / 'both' / 'comparison.md'}\n"
    assert done.stdout == made
    step = small()["meta_step"]
    write_run(tmp_path / "two", small(algorithm="maml"), [{"step": step}, {"step": step + 5}])
    done = run_program(f"--workdir={one},{two}", f"--out={tmp_path / 'both'}")
    told = f"{two} was evaluated at meta-step {step:,} and trained on to {step + 5:,}: evaluate it"
    assert done.stdout.startswith(f"{made}{told} again")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "workdir"),
        (["--workdir=absent"], 4, "meta-shrink evaluate --workdir=absent"),
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
