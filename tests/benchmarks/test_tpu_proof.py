"""The TPU proof without a TPU's compiler: its rows, what becomes of one that fails, its page."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from benchmarks.tpu_proof import __main__ as program
from benchmarks.tpu_proof import measure as measuring
from benchmarks.tpu_proof.measure import Found, State, measure
from benchmarks.tpu_proof.page import HEAD, page
from benchmarks.tpu_proof.rows import ALGORITHMS, EXPERIMENTS, Row, all_rows, row_config, row_named
from benchmarks.tpu_proof.stand_ins import stand_ins
from meta_shrink import build

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {"temporary": 3 * 2**20, "code": 2**19, "arguments": 2**10, "flops": 5e9, "bytes": 1e9}
COMPILED = Found("abc1234", "compiled", [1.0, 2.0], FIGURES | {"loops": 3, "all_reduces": 1})


def running(*texts: str):
    """Programs of a row: Python that does this."""
    steps = zip(("lower", "compile"), texts, strict=False)
    commands = {step: [sys.executable, "-c", text] for step, text in steps}
    return lambda row, module: commands


def test_every_algorithm_of_every_experiment_is_compiled_for_one_replica_and_four():
    rows = all_rows()
    for experiment in EXPERIMENTS:
        for algorithm in ALGORITHMS:
            for replicas in (1, 4):
                assert Row(experiment, algorithm, "v5e:2x2", replicas) in rows
        for topology, chips in (("v5e:4x4", 16), ("v5p:2x2x1", 4), ("v6e:2x2", 4)):
            assert Row(experiment, "sigma_imaml", topology, chips) in rows
    for steps in (1, 10, 100):
        assert Row("omniglot_alphabets", "sigma_maml", steps=steps) in rows
    assert [row_named(row.name) for row in rows] == rows


def test_a_row_has_the_config_that_is_trained():
    config = row_config(Row("omniglot_alphabets", "sigma_imaml", "v5e:4x4", 16))
    assert config["name"] == "omniglot_alphabets:large_sigma_imaml"
    assert (config["adapt"]["steps"], config["train"]["meta_batch_size"]) == (100, 32)
    assert row_config(Row("sinusoid", "sigma_maml", steps=10))["adapt"]["steps"] == 10
    speech = row_config(Row("speech", "meta_sgd"))
    assert set(speech["meta_optimizer"]) == {"phi", "log_alpha"}
    assert speech["prior"]["sigma2"] == float("inf")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_its_experiment_is_built_from_stand_ins(experiment):
    with stand_ins():
        build(row_config(Row(experiment, "meta_sgd")))


def test_a_crash_and_a_time_out_are_rows():
    row = all_rows()[0]
    said = "F0000 00:00:17.42 9 a.cc:5] Not modeled"
    abort = f"import os, sys; print('{said}', file=sys.stderr, flush=True); os.abort()"
    found = measure(row, "abc", 60, running("", abort))
    assert found.outcome == "failed (compile, signal 6): Not modeled"
    found = measure(row, "abc", 60, running("raise ValueError('no such shape')", abort))
    assert found.outcome == "failed (lower, exit 1): ValueError: no such shape"
    assert (len(found.seconds), found.figures) == (1, {})
    found = measure(row, "abc", 0.5, running("import time; time.sleep(60)"))
    assert found.outcome == "time-out (lower, 0 s)"


def test_what_the_compiler_says_is_kept():
    found = measure(all_rows()[0], "abc", 60, running("", "print('noise'); print('{\"code\": 7}')"))
    assert (found.outcome, found.figures, len(found.seconds)) == ("compiled", {"code": 7}, 2)


def test_it_resumes_row_by_row(tmp_path, monkeypatch):
    compiled = []

    def found(row, commit, timeout):
        compiled.append(row.name)
        return COMPILED._replace(commit=commit)

    def run(*arguments: str) -> int:
        every = [f"--state={tmp_path}/found.jsonl", f"--out={tmp_path}/page.md", *arguments]
        monkeypatch.setattr(sys, "argv", ["tpu_proof", *every])
        with pytest.raises(SystemExit) as end:
            program.main()
        return int(end.value.code or 0)

    monkeypatch.setattr(program, "measure", found)
    monkeypatch.setattr(program, "present_commit", lambda: "1111111")
    assert run("--only=^sinusoid-(maml|fomaml)-v5e:2x2-x1$") == 0
    assert compiled == ["sinusoid-maml-v5e:2x2-x1", "sinusoid-fomaml-v5e:2x2-x1"]
    assert run("--only=^sinusoid-(maml|reptile)-v5e:2x2-x1$") == 0
    assert compiled[2:] == ["sinusoid-reptile-v5e:2x2-x1"]
    assert run("--minutes=-1") == 1  # No time for the others.
    monkeypatch.setattr(program, "present_commit", lambda: "2222222")
    assert run("--only=^sinusoid-maml-v5e:2x2-x1$") == 0
    assert len(compiled) == 3
    assert run("--only=^sinusoid-maml-v5e:2x2-x1$", "--again") == 0
    assert len(compiled) == 4
    assert "Commits: 1111111, 2222222" in (tmp_path / "page.md").read_text("utf-8")


def test_the_page(tmp_path):
    state, rows = State(f"{tmp_path}/found.jsonl"), all_rows()
    crashed = Row("sinusoid", "maml")
    state.save(rows[0], COMPILED)
    state.save(crashed, Found("abc1234", "failed (compile, signal 6): Not modeled", [1.0], {}))
    text = page({row: state.load(row) for row in rows})
    assert f"2 of {len(rows)} programs were tried, 1 compiled" in text
    assert "| sigma_imaml | 3 | 0.5 | 0.000977 | 5 | 1 | 3 | – | – |" in text
    assert f"- `{crashed.name}`: failed (compile, signal 6): Not modeled" in text
    assert f"Not tried yet ({len(rows) - 2})" in text


def test_the_page_names_the_versions_of_the_environment():
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements/tpu.in").read_text(), re.M))
    for package in ("tensorflow-tpu", "libtpu"):
        assert f"{package} {pins[package]}" in HEAD.read_text("utf-8")


def test_large_networks_are_compiled_with_the_least_effort():
    small, large = Row("sinusoid", "maml", "v5e:2x2", 4), Row("speech", "maml")
    assert measuring.programs(small, "m")["compile"][3:] == ["m", "v5e:2x2", "4", "0.0"]
    assert measuring.programs(large, "m")["compile"][3:] == ["m", "v5e:2x2", "1", "-1.0"]


def test_the_programs_are_those_of_the_package():
    for command in measuring.programs(all_rows()[0], "module").values():
        assert (ROOT / f"{command[2].replace('.', '/')}.py").is_file()
