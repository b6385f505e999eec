"""What the runs of a comparison still lack, from what they recorded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from meta_shrink.durable_files import to_json
from meta_shrink.experiments.task_data import present_data
from meta_shrink.programs.comparison.declared import read_set
from meta_shrink.programs.comparison.runs import (
    Board,
    lacks,
    missing,
    on_other_data,
    workdir_of,
)
from tests.programs.test_compare import finish, one_run, small_set
from tests.reporting_samples import small, write_run


def test_what_a_run_lacks(tmp_path):
    run, other = read_set(small_set()).runs[:2]
    assert missing(run, str(tmp_path)) == "not evaluated yet"
    finish(run, tmp_path)
    assert missing(run, str(tmp_path)) == ""
    assert missing(run._replace(evaluate=[]), str(tmp_path)) == "evaluated with other flags"
    assert missing(run._replace(config=other.config), str(tmp_path)) == "made with another config"
    finish(run, tmp_path, meta_step=5)
    assert missing(run, str(tmp_path)) == "evaluated at meta-step 5"


def test_the_data_that_a_run_records_are_no_other_config(tmp_path):
    runs = read_set(small_set()).runs[:3]
    hashes = ["a" * 64, "b" * 64, "b" * 64]
    for number, (run, data) in enumerate(zip(runs, hashes, strict=True)):
        finish(run, tmp_path)
        path = Path(workdir_of(run, str(tmp_path))) / "config.json"
        path.write_text(json.dumps({**to_json(run.config), "data": data}))
        os.utime(path, (number, number))
    assert [missing(run, str(tmp_path)) for run in runs] == ["", "", ""]
    # Those that were made before the data became others are no part of one table with these.
    assert list(lacks(runs, str(tmp_path)).values()) == [
        f"made with other data than {runs[2].name}", "", ""
    ]  # fmt: skip
    other = runs[2]._replace(config={**runs[2].config, "task": {"name": "other"}})
    finish(other, tmp_path)
    assert list(lacks([runs[0], other], str(tmp_path)).values()) == ["", ""]


def test_runs_that_are_done_are_no_more_when_their_data_become_others(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    x = np.linspace(-1, 1, 6, dtype=np.float32)[:, np.newaxis]
    for number in range(5):
        np.savez(data / f"task_{number}.npz", inputs=x, targets=number * x)
    runs = read_set(
        one_run(config="configs/arrays.py:reptile", overrides={"task.data_dir": str(data)})
    ).runs
    others = read_set(one_run()).runs  # Of generated tasks: there are no data to become others.
    for run in (*runs, *others):
        finish(run, tmp_path)
    for run in runs:
        path = Path(workdir_of(run, str(tmp_path))) / "config.json"
        known = present_data(json.loads(path.read_text()))
        path.write_text(json.dumps({**to_json(run.config), "data": known}))
    lines = []

    def found():
        return on_other_data([*runs, *others], str(tmp_path), lines.append)

    assert len(runs) == 2 and found() == []
    np.savez(data / "task_3.npz", inputs=x, targets=x + 1)
    assert found() == runs and lines == []
    for path in data.iterdir():
        path.unlink()
    assert found() == [] and "were not looked at again: " in lines[0]


def test_modules_that_are_named_twice_are_recorded_once(tmp_path):
    run = read_set(small_set(), ["one", "two", "one"]).runs[0]
    finish(run, tmp_path)
    assert run.config["imports"] == ["one", "two"] and not missing(run, str(tmp_path))


@pytest.mark.parametrize("argument", ["configs/prosody.py:pretrained", "configs/speech.py:sea"])
def test_a_run_without_meta_steps_is_shown_and_done(tmp_path, argument):
    run, lines = read_set(one_run(config=argument)).runs[0], []
    write_run(Path(workdir_of(run, str(tmp_path))), small())
    board = Board([run], str(tmp_path), done=0, log=lines.append)
    board.watch([run.name], {})
    board.watch([], {run.name: 0})
    assert lines[-1].startswith("1 of 1 runs done")
    finish(run, tmp_path)
    assert run.config["train"]["steps"] == 0 and not missing(run, str(tmp_path))


def test_a_config_without_a_number_of_steps_has_the_default(tmp_path):
    run = read_set(small_set()).runs[0]
    train = {k: v for k, v in run.config["train"].items() if k != "steps"}
    run = run._replace(config={**run.config, "train": train})
    finish(run._replace(config={**run.config, "train": {"steps": 999}}), tmp_path)
    (Path(workdir_of(run, str(tmp_path))) / "config.json").write_text(
        json.dumps(to_json(run.config))
    )
    assert missing(run, str(tmp_path)) == "evaluated at meta-step 999"
