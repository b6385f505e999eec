"""launch.compare without training: sets, what is done, child processes, the table alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

from configs.comparisons import sinusoid
from meta_shrink import UsageError
from meta_shrink.durable_files import to_json
from meta_shrink.programs.comparison import runs as comparison_runs
from meta_shrink.programs.comparison.declared import EVALUATE_FLAGS, Run, read_set
from meta_shrink.programs.comparison.processes import Job, run_jobs
from meta_shrink.programs.comparison.runs import (
    Board,
    failure,
    failures,
    job_of,
    workdir_of,
)
from meta_shrink.runs.workdir import hold_lock
from tests.refusals import refusals
from tests.reporting_samples import small, write_run

ROOT = Path(__file__).resolve().parents[2]


def small_set(**changes: Any) -> Any:
    value: Any = sinusoid.get_config()
    value.seeds = [0, 7]
    value.runs = [run for run in value.runs if "reptile" in run["config"]]
    value.update(changes)
    return value


def one_run(**run: Any) -> Any:
    return small_set(runs=[{"config": "configs/sinusoid.py:maml"} | run])


def finish(run: Run, out: Path, **changes: Any) -> None:
    """Make a run's folder as if it had been trained and evaluated."""
    algorithm = run.config["name"].partition(":")[2]
    evaluation = small(algorithm=algorithm) | {"meta_step": run.config["train"]["steps"]} | changes
    evaluation["environment"]["command"] = " ".join(["--workdir=some where", *run.evaluate])
    workdir = write_run(Path(workdir_of(run, str(out))), evaluation)
    (workdir / "config.json").write_text(json.dumps(to_json(run.config)))


def test_a_set_becomes_runs():
    comparison = read_set(small_set())
    names = ["reptile_seed0", "sigma_reptile_seed0", "reptile_seed7", "sigma_reptile_seed7"]
    assert [run.name for run in comparison.runs] == names
    first, last = comparison.runs[0], comparison.runs[-1]
    assert (last.config["seed"], last.config["train"]["steps"]) == (7, 20_000)
    assert last.config["name"] == "sinusoid:sigma_reptile"
    assert first.evaluate == ["--horizon=1", "--num_tasks=100"]
    assert last.evaluate == ["--horizon=1", "--kinds=all,selected", "--num_tasks=100"]
    assert [[run.seed for run in runs] for runs in comparison.methods()] == [[0, 7], [0, 7]]
    train, evaluate = job_of(last, "out").commands
    assert train[1:5] == ["-m", "meta_shrink", "train", "--workdir=out/runs/sigma_reptile_seed7"]
    assert "--config.train.steps=20000" in train and "--config.seed=7" in train
    assert evaluate[3:5] == ["evaluate", "--workdir=out/runs/sigma_reptile_seed7"]


def test_names_and_places_of_runs():
    options = {"label": "σ-MAML / 2", "x": 2.5, "x_label": "shots (5 ways)"}
    run = read_set(one_run(**options, overrides={"train.clip_norm": 0.5})).runs[0]
    assert run.name == "σ-MAML_2_shots_5_ways_2.5_seed0"
    assert (run.label, run.x, run.x_label) == ("σ-MAML / 2", 2.5, "shots (5 ways)")
    assert run.config["train"]["clip_norm"] == 0.5


def test_evaluate_flags_are_those_of_the_program():
    text = (ROOT / "meta_shrink" / "programs" / "evaluate.py").read_text()
    defined = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', text))
    assert set(EVALUATE_FLAGS) == defined - {"workdir"}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (one_run(config="configs/absent.py"), r"Run 'configs/absent.py': .*absent.py"),
        (one_run(config="configs/sinusoid.py:protonet"), "Run 'protonet': .*one of demo, "),
        (one_run(overrides={"train.stepz": 3}), "Run 'maml': .*stepz"),
        (one_run(overrides={"train.steps": "many"}), "Run 'maml': .*many"),
        (one_run(overrides={"seed": 3}), "Run 'maml' overrides the seed"),
        (one_run(x="one"), "runs.x is 'one'; expected a number or None"),
        (one_run(colour="red"), "section 'runs' has no key 'colour'"),
        (small_set(runs=[]), "no runs"),
        (small_set(runs=small_set().runs * 2), "share the name 'reptile_seed0'"),
        (small_set(runs=[*small_set().runs, {"config": "a.py", "x": 1}]), "Some runs .* have an x"),
        (small_set(seeds=[]), r"seeds=\[\]"),
        (small_set(seeds=[0, 0]), r"seeds=\[0, 0\]"),
        (small_set(seeds=["0"]), r"seeds is \['0'\]; expected a list"),
        (small_set(evaluate={"num_task": 3}), "evaluate has num_task; expected of num_"),
        (ConfigDict({"name": "a"}), "section 'set' lacks runs, seeds"),
        ({}, "returns dict, not ConfigDict"),
    ],
)
def test_a_bad_set_is_one_sentence(value, sentence):
    with pytest.raises(UsageError, match=sentence) as caught:
        read_set(value)
    assert "\n" not in str(caught.value)


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def run_here(jobs: list[Job], **options: Any) -> dict[str, int]:
    default = {"at_once": 2, "stop_requested": lambda: False, "watch": lambda running, codes: None}
    return run_jobs(jobs, **{**default, **options})


def job(folder: Path, name: str, *codes: str) -> Job:
    return Job(name, [python(code) for code in codes], str(folder / name / "run.log"))


def test_jobs_run_at_once_and_a_failure_stops_no_other(tmp_path):
    most: list[int] = []
    jobs = [job(tmp_path, f"fine{i}", "print('one')", "print('two')") for i in range(3)]
    jobs.insert(1, job(tmp_path, "bad", "raise SystemExit(3)", "print('never')"))
    jobs.append(job(tmp_path, "told", "raise SystemExit(42)"))
    codes = run_here(jobs, watch=lambda running, codes: most.append(len(running)))
    assert codes == {"fine0": 0, "bad": 3, "fine1": 0, "fine2": 0, "told": 42}
    assert max(most) == 2
    lines = (tmp_path / "fine2" / "run.log").read_text().splitlines()
    assert [line for line in lines if not line.startswith("$ ")] == ["one", "two"]
    assert "never" not in (tmp_path / "bad" / "run.log").read_text().split("\n", 1)[1]


WAITS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
print("ready", flush=True)
time.sleep(60)
"""


def test_a_stop_is_passed_on(tmp_path):
    jobs = [job(tmp_path, f"job{i}", WAITS, "print('never')") for i in range(3)]
    log = tmp_path / "job0" / "run.log"
    codes = run_here(jobs, stop_requested=lambda: log.exists() and "\nready" in log.read_text())
    assert codes == {"job0": 42, "job1": 42, "job2": 42}
    assert not (tmp_path / "job2").exists()


def test_an_exception_leaves_no_child(tmp_path):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    log = tmp_path / "job" / "run.log"

    def interrupt(running: list[str], codes: dict[str, int]) -> None:
        if len(log.read_text().splitlines()) > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_here([job(tmp_path, "job", code)], watch=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text().splitlines()[-1]), 0)


def test_the_board(tmp_path):
    runs, lines, now = read_set(small_set()).runs[:3], [], [0.0]
    for run in runs:
        write_run(Path(workdir_of(run, str(tmp_path))), small())
    board = Board(runs, str(tmp_path), done=1, clock=lambda: now[0], log=lines.append)
    board.watch(["reptile_seed0"], {})
    now[0] = 30.0
    board.watch(["reptile_seed0"], {})
    assert lines == ["1 of 4 runs done, 1 running, 0 failed, ETA -"]
    timing = Path(workdir_of(runs[0], str(tmp_path))) / "timing.jsonl"
    timing.write_text('{"step": 5000}\n')  # Half of its training: 0.45 of a run in 90 s.
    now[0] = 90.0
    board.watch(["reptile_seed0"], {})
    assert lines[1:] == ["1 of 4 runs done, 1 running, 0 failed, ETA 0:08:30"]
    now[0] = 200.0
    board.watch([], {"reptile_seed0": 0, "sigma_reptile_seed0": 42})
    assert lines[2:4] == ["reptile_seed0: done", "sigma_reptile_seed0: stopped"]
    assert lines[4] == "2 of 4 runs done, 0 running, 0 failed, ETA 0:01:40"


def test_why_a_run_failed(tmp_path):
    run = read_set(small_set()).runs[0]
    log = Path(workdir_of(run, str(tmp_path))) / comparison_runs.LOG
    log.parent.mkdir(parents=True)
    log.write_text("$ train\nerror: of yesterday.\n$ train\nhello\nerror: too large.\nbye\n")
    start = f"{run.name} failed"
    assert failure(run, str(tmp_path), 2) == f"{start} (exit code 2): too large. See {log}."
    log.write_text("$ train\nerror: of yesterday.\n$ train\nmeta-training: 3/9\n")
    # A full disk of a run is the exit code of the program.
    assert [failures(codes, 5).exit_code for codes in ([1], [3, 2], [1, 4], [-9])] == [1, 1, 4, 1]
    killed = failure(run, str(tmp_path), -signal.SIGKILL)
    assert killed == f"{start} (SIGKILL): meta-training: 3/9 See {log}."


def compare(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "launch.compare", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == (code != 0), done.stderr
    return done


SET = "--set=configs/comparisons/sinusoid.py"


def test_table_only(tmp_path):
    runs = read_set(sinusoid.get_config()).runs
    for run in runs[:4]:
        finish(run, tmp_path)
    done = compare(SET, f"--out={tmp_path}", "--table_only")
    assert "Not in the table, not evaluated yet: reptile_seed1, " in done.stdout
    assert f"Table: {tmp_path}/methods.md" in done.stdout
    table = (tmp_path / "methods.md").read_text(encoding="utf-8")
    assert "| MAML | 2/3 |" in table and "| σ-Reptile | 1/3 |" in table
    assert f"Made by `python -m launch.compare {SET}`." in table
    assert not (tmp_path / ".lock").exists()


@pytest.mark.programs
def test_usage(tmp_path):
    out = f"--out={tmp_path}"
    lines = [[SET, out, "--table_only"], [SET, out, "--only=seed9"], ["--set=absent.py", out]]
    codes, told = zip(*refusals("compare", *lines), strict=True)
    assert codes == (2, 2, 2) and "no finished run" in told[0]
    assert "leaves no run of maml_seed0" in told[1] and "absent.py" in told[2]
    lock = hold_lock(str(tmp_path / ".lock"))
    assert f"in use by process {os.getpid()}" in compare(SET, out, code=5).stderr
    os.close(lock)
