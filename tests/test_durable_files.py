"""Whole files and metrics logs: kills, torn lines, full disks."""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ArtefactError
from meta_shrink.durable_files import write_atomically
from meta_shrink.errors import DiskError
from meta_shrink.runs.metrics_log import MAX_WAITING_ROWS, MetricsLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def log_of(path: Path, steps: int = 3) -> MetricsLog:
    log = MetricsLog(str(path))
    for step in range(1, steps + 1):
        log.append({"step": step, "loss": step / 10})
    return log


def steps_in(path: Path) -> list[int]:
    return [row["step"] for row in MetricsLog(str(path)).rows()]


def limit_file_size(limit: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit if hard == -1 else min(limit, hard), hard))


@pytest.fixture
def unlimited():
    """Restores the limit of the file size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_rows_are_canonical_json(path):
    log = MetricsLog(str(path))
    log.append({"step": 1, "b": np.float32(0.1), "a": tf.constant([1.0, -math.inf]), "c": math.nan})
    log.append({"step": np.int64(2), "done": np.bool_(True), "loss": 0.1, "name": "x"})
    assert path.read_text().splitlines() == [
        '{"a": [1.0, "-inf"], "b": 0.10000000149011612, "c": "nan", "step": 1}',
        '{"done": true, "loss": 0.1, "name": "x", "step": 2}',
    ]
    first, second = log.rows()
    assert first["a"] == [1.0, -math.inf] and math.isnan(first["c"]) and second["done"] is True


def test_no_file_has_no_rows(path):
    log = MetricsLog(str(path))
    assert list(log.rows()) == []
    log.rewind(3)
    log.sync()
    assert not path.exists()


@pytest.mark.parametrize(("step", "left"), [(-1, []), (0, []), (2, [1, 2]), (3, [1, 2, 3])])
def test_rewind_keeps_the_bytes_of_what_stays(path, step, left):
    log = log_of(path)
    lines = path.read_bytes().splitlines(keepends=True)
    log.rewind(step)
    assert path.read_bytes() == b"".join(lines[: len(left)])
    assert steps_in(path) == left


def test_rewind_keeps_rows_without_a_step(path):
    log = MetricsLog(str(path))
    log.append({"note": "seed 1"})
    log.append({"step": 5})
    log.rewind(1)
    assert list(log.rows()) == [{"note": "seed 1"}]


@pytest.mark.parametrize("tail", [b'{"step": 4, "lo', b"\0\0\0", b"\xff", b'{"step": 4}'])
def test_a_torn_last_line_is_dropped(path, tail):
    log = log_of(path)
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert steps_in(path) == [1, 2, 3]
    log.append({"step": 4})
    assert path.read_bytes() == whole + b'{"step": 4}\n'
    path.write_bytes(whole + tail)
    log.rewind(100)
    assert path.read_bytes() == whole


def test_a_run_cut_anywhere_ends_with_the_same_bytes(path, tmp_path):
    log_of(path, 6)
    whole = path.read_bytes()
    again = tmp_path / "again.jsonl"
    for size in range(len(whole) + 1):
        again.write_bytes(whole[:size])
        log = MetricsLog(str(again))
        checkpoint = min(2, whole[:size].count(b"\n"))
        log.rewind(checkpoint)
        for step in range(checkpoint + 1, 7):
            log.append({"step": step, "loss": step / 10})
        assert again.read_bytes() == whole


def test_damage_in_the_middle_is_told(path):
    log_of(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"?\n" + lines[2])
    with pytest.raises(ArtefactError, match=r"Line 2 of .*metrics.jsonl is damaged"):
        list(MetricsLog(str(path)).rows())
    messages: list[str] = []
    MetricsLog(str(path), log=messages.append).rewind(3)
    assert steps_in(path) == [1, 3] and "1 damaged lines" in messages[0]


@pytest.mark.parametrize("room", [0, 1, 10])
def test_full_disk_does_not_stop_the_run(path, unlimited, room):
    messages: list[str] = []
    log = MetricsLog(str(path), log=messages.append)
    log.append({"step": 1})
    limit_file_size(path.stat().st_size + room)
    for step in range(2, 50):
        log.append({"step": step})
    log.sync()
    assert steps_in(path) == [1]
    assert len(messages) == 1 and "cannot be written" in messages[0]
    limit_file_size(1 << 30)
    log.append({"step": 50})
    assert steps_in(path) == list(range(1, 51))


def test_waiting_rows_are_bounded_and_synced(tmp_path):
    folder = tmp_path / "later"
    log = MetricsLog(str(folder / "metrics.jsonl"), log=lambda _: None)
    for step in range(20):
        log.append({"step": step})
    folder.mkdir()
    log.sync()
    assert steps_in(folder / "metrics.jsonl") == list(range(20))
    assert MAX_WAITING_ROWS == 10_000


def test_rewind_on_a_full_disk_is_an_error_of_the_disk(path, unlimited):
    log = log_of(path)
    before = path.read_bytes()
    limit_file_size(10)
    with pytest.raises(DiskError, match="cannot be written"):
        log.rewind(2)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


def test_read_only_log_writes_nothing(path):
    log_of(path)
    before = path.read_bytes()
    log = MetricsLog(str(path), read_only=True)
    log.append({"step": 9})
    log.rewind(-1)
    log.sync()
    assert path.read_bytes() == before and len(list(log.rows())) == 3


def test_write_atomically_leaves_the_old_file_on_error(path, unlimited):
    write_atomically(str(path), b"old")
    limit_file_size(10)
    with pytest.raises(OSError):
        write_atomically(str(path), b"x" * 100)
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == [path.name]
