"""A stopped evaluation goes on: what was adapted is kept, and ends as if nobody had stopped it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from meta_shrink import build, evaluate, evaluation, open_workdir, train
from meta_shrink.errors import Preempted
from meta_shrink.experiments.evaluation_parts import FOLDER
from tests.tiny_runs import NO_LOG, tiny_config

OPTIONS = {"num_tasks": 4, "points": 3, "kinds": ["all", "single"]}  # 3 subsets, 6 groups of 2.


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    config = tiny_config(changes={"train.steps": 2, "train.eval_every": 0})
    with open_workdir(str(folder), config, **NO_LOG) as workdir:
        train(build(config), workdir, **NO_LOG)
    return folder


@pytest.fixture
def run(trained, tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(evaluation, "TASKS_AT_ONCE", 2)
    return Path(shutil.copytree(trained, tmp_path / "run"))


def evaluated(run: Path, stops_at: int = 10**6, **changes) -> tuple[dict, list[str], int]:
    """(evaluation.json without its environment, what was logged, calls that adapted)."""
    said, calls = [], Calls(stops_at)
    evaluate(str(run), overrides=OPTIONS | changes, log=said.append, stop_requested=calls)
    found = json.loads((run / "evaluation.json").read_text())
    del found["environment"]
    return found, said, calls.count


class Calls:
    """stop_requested: True from a call on."""

    def __init__(self, stops_at: int) -> None:
        self.count, self._stops_at = 0, stops_at

    def __call__(self) -> bool:
        self.count += 1
        return self.count > self._stops_at


def kept(run: Path) -> Iterator[Path]:
    return (run / FOLDER).glob("*.npz")


@pytest.mark.parametrize("stops_at", [pytest.param(1, marks=pytest.mark.programs), 7])
def test_it_goes_on_and_ends_as_without_a_stop(run, stops_at):
    whole, _, calls = evaluated(run)
    assert not (run / FOLDER).exists()  # Nothing is left of one that is whole.
    with pytest.raises(Preempted, match="the same command goes on"):
        evaluated(run, stops_at)
    groups = len(list(kept(run)))
    again, said, calls_again = evaluated(run)
    assert again == whole and not (run / FOLDER).exists()
    assert (calls_again < calls) is (groups > 0)
    assert sum("Going on where it was stopped" in line for line in said) == (groups > 0)


@pytest.mark.programs
def test_of_another_horizon_or_checkpoint_nothing_is_taken(run):
    with pytest.raises(Preempted):
        evaluated(run, 14)
    assert list(kept(run))
    _, said, _ = evaluated(run, horizon=3, group_horizon=3)
    assert not any("Going on" in line for line in said)
    with pytest.raises(Preempted):
        evaluated(run, 14)
    config = tiny_config(changes={"train.steps": 4, "train.eval_every": 0})
    with open_workdir(str(run), config, allow_config_change=True, **NO_LOG) as workdir:
        train(build(config), workdir, **NO_LOG)
    _, said, _ = evaluated(run)
    assert not any("Going on" in line for line in said)


def test_other_kinds_take_what_they_share(run):
    with pytest.raises(Preempted):
        evaluated(run, 14)
    _, said, calls = evaluated(run, kinds=["all"])
    assert any("Going on" in line for line in said) and calls == 0
    with pytest.raises(Preempted):
        evaluated(run, 8, kinds=["single"])
    _, said, _ = evaluated(run)
    assert sum("Going on" in line for line in said) == 1  # Of the second kind that is asked for.


@pytest.mark.programs
@pytest.mark.parametrize("content", [b"PK\x03\x04 no archive", None])
def test_a_damaged_part_is_made_again(run, content):
    whole, _, calls = evaluated(run)
    with pytest.raises(Preempted):
        evaluated(run, 14)
    for path in kept(run):
        path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    again, said, calls_again = evaluated(run)
    assert (again, calls_again) == (whole, calls) and not any("Going on" in line for line in said)


@pytest.mark.programs
def test_what_cannot_be_kept_is_told_and_costs_nothing_else(run):
    (run / FOLDER).write_text("a file of somebody else")
    _, said, _ = evaluated(run)
    assert any(FOLDER in line and "a stop would cost" in line for line in said)
    assert (run / FOLDER).read_text() == "a file of somebody else"


@pytest.mark.programs
def test_tasks_of_many_steps_adapt_one_by_one(run, monkeypatch):
    monkeypatch.setattr(evaluation, "LONG", 8)
    whole, _, calls = evaluated(run)
    monkeypatch.setattr(evaluation, "LONG", 9)
    again, _, fewer = evaluated(run)
    assert again == whole and fewer < calls


def test_a_set_of_modules_that_comes_twice_adapts_once_and_is_no_stop(run, capsys):
    """As the selected modules may be one of the groups."""
    names = [module["name"] for module in evaluated(run)[0]["modules"]]
    alone = {"kinds": ["single"], "groups": {"one": names[:1]}}
    _, _, calls = evaluated(run, **alone)
    twice = {"kinds": ["single"], "groups": {"one": names[:1], "again": names[:1]}}
    capsys.readouterr()
    found, said, calls_of_both = evaluated(run, **twice)
    assert calls_of_both == calls and not any("Going on" in line for line in said)
    one, again = found["schemes"]
    assert one["mean"] == again["mean"]
    lines = [line for line in capsys.readouterr().err.splitlines() if "(100 %)" in line]
    assert len(lines) == 1
