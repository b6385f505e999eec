"""Searches that are resumed with something else, cut off, or met by a full disk."""

from __future__ import annotations

import os
from typing import Any

import pytest

from meta_shrink import ArtefactError, DivergedError, MetaShrinkError, UsageError
from meta_shrink.errors import InUseError
from meta_shrink.experiments import sweep as sweep_job
from meta_shrink.experiments.sweep import sweep
from meta_shrink.experiments.sweep_journal import JOURNAL
from tests.system.test_sweep import SPACE, instant, search_config
from tests.tiny_runs import NO_LOG, changed

CHANGES = {
    "seed": 8,
    "train.meta_batch_size": 3,
    "prior.beta": 0.5,
    "meta_optimizer.phi.learning_rate": 1.0,
    "search.steps": 5,
    "search.space": [("adapt.learning_rate", "log", 0.01, 0.2), *SPACE[1:]],
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_search_goes_on_with_its_own_config_only(tmp_path, monkeypatch, key):
    config = search_config(2)
    instant(monkeypatch, [0.5, 0.25])
    sweep(config, str(tmp_path), **NO_LOG)
    before = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(UsageError, match=key.replace(".", r"\.")) as caught:
        sweep(changed(config, {key: CHANGES[key]}), str(tmp_path), **NO_LOG)
    assert "allow_config_change" not in str(caught.value)
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_more_trials_are_no_other_search(tmp_path, monkeypatch):
    instant(monkeypatch, [0.5, 0.25, 0.125])
    sweep(search_config(2), str(tmp_path), **NO_LOG)
    assert len(sweep(search_config(3), str(tmp_path), **NO_LOG).trials) == 3


@pytest.mark.parametrize("torn", [b"{", b'{"op_code": 4, "worker', b"\xff\xfe\x00"])
def test_a_torn_journal_resumes(tmp_path, monkeypatch, torn):
    instant(monkeypatch, [0.5, 0.25])
    sweep(search_config(1), str(tmp_path), **NO_LOG)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(torn)
    trials = sweep(search_config(2), str(tmp_path), **NO_LOG).trials
    assert [trial.value for trial in trials] == [0.5, 0.25]


@pytest.mark.parametrize("line", [b"{\n", b"3\n", b"[" * 100_000 + b"\n", b'{"op_code": "x"}\n'])
def test_a_journal_damaged_within_is_refused(tmp_path, monkeypatch, line):
    instant(monkeypatch, [0.5, 0.25])
    sweep(search_config(1), str(tmp_path), **NO_LOG)
    journal = tmp_path / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], line, *lines[2:]]))
    with pytest.raises(ArtefactError, match="damaged"):
        sweep(search_config(2), str(tmp_path), **NO_LOG)


def test_trials_without_their_config_are_refused(tmp_path, monkeypatch):
    instant(monkeypatch, [0.5])
    sweep(search_config(1), str(tmp_path), **NO_LOG)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ArtefactError, match=r"config\.json"):
        sweep(search_config(1), str(tmp_path), **NO_LOG)


ENVIRONMENT: list[tuple[BaseException, type[MetaShrinkError], int]] = [
    (ArtefactError("could not be saved"), ArtefactError, 4),
    (OSError(28, os.strerror(28)), ArtefactError, 4),
    (InUseError("in use"), InUseError, 5),
]


@pytest.mark.parametrize(("failure", "kind", "code"), ENVIRONMENT)
def test_the_environment_s_fault_is_no_failed_trial(tmp_path, monkeypatch, failure, kind, code):
    config = search_config(1)

    def fail(*_: Any, **__: Any) -> None:
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(sweep_job, "train", fail)
        with pytest.raises(kind) as caught:
            sweep(config, str(tmp_path), **NO_LOG)
        assert caught.value.exit_code == code
    instant(monkeypatch, [0.5])
    (trial,) = sweep(config, str(tmp_path), **NO_LOG).trials
    assert trial.value == 0.5  # The same trial, once there is room.


@pytest.mark.parametrize("failure", [DivergedError("diverged"), UsageError("does not fit")])
def test_the_trial_s_own_fault_is_a_failed_trial(tmp_path, monkeypatch, failure):
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(sweep_job, "train", fail)
    (trial,) = sweep(search_config(1), str(tmp_path), **NO_LOG).trials
    assert trial.state.name == "FAIL"


def test_a_linked_trial_folder_is_refused(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "trial_0000").symlink_to(elsewhere)
    with pytest.raises(MetaShrinkError, match="symbolic link"):
        sweep(search_config(1), str(tmp_path / "sweep"), **NO_LOG)
    assert os.listdir(elsewhere) == []
