"""A folder that somebody else made can hold anything: nothing is written elsewhere, nothing hangs.

Every kind of file that stands in place of every file that a run reads or writes.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from meta_shrink import ArtefactError, MetaShrinkError, UsageError, durable_files, open_workdir
from meta_shrink.durable_files import (
    append_whole,
    parse_json,
    read_file,
    remove_leftovers,
    write_atomically,
    write_durably,
)
from meta_shrink.errors import DiskError, unwritable
from meta_shrink.runs import checkpoint_files
from meta_shrink.runs.locks import hold_lock
from meta_shrink.runs.metrics_log import MetricsLog
from meta_shrink.runs.workdir import read_config

CONFIG = {"a": 1}


def link_to_a_file(path: Path, elsewhere: Path) -> None:
    (elsewhere / "victim").write_text("precious")
    path.symlink_to(elsewhere / "victim")


def link_to_a_folder(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere)


def link_to_nothing(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere / "new")


def pipe(path: Path, elsewhere: Path) -> None:
    os.mkfifo(path)


def folder(path: Path, elsewhere: Path) -> None:
    path.mkdir()


def bound_socket(path: Path, elsewhere: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # Names of sockets are short.
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


LINKS = [link_to_a_file, link_to_a_folder, link_to_nothing]
ODD = [*LINKS, pipe, folder, bound_socket]
Make = Callable[[Path, Path], None]


@pytest.fixture
def elsewhere(tmp_path: Path):
    """A folder that nothing may be written into; its file keeps its content."""
    path = tmp_path / "elsewhere"
    path.mkdir()
    yield path
    assert sorted(os.listdir(path)) in ([], ["victim"])
    assert not (path / "victim").exists() or (path / "victim").read_text() == "precious"


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("name", [".lock", "metrics.jsonl", "timing.jsonl", "config.json"])
def test_an_odd_file_in_a_workdir_is_refused(tmp_path, elsewhere, name, make):
    workdir = tmp_path / "run"
    workdir.mkdir()
    make(workdir / name, elsewhere)
    with pytest.raises(MetaShrinkError, match=name):
        open_workdir(str(workdir), CONFIG)


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard"])
@pytest.mark.parametrize("make", LINKS)
def test_a_linked_folder_in_a_workdir_is_refused(tmp_path, elsewhere, name, make):
    workdir = tmp_path / "run"
    workdir.mkdir()
    make(workdir / name, elsewhere)
    with pytest.raises(UsageError, match="symbolic link"):
        open_workdir(str(workdir), CONFIG)


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize(
    "name",
    ["metrics.jsonl.tmp", "config.json.tmp", "config.json.0123abcd.tmp", "evaluation.json.tmp"],
)
def test_odd_temporary_files_are_not_written_through(tmp_path, elsewhere, name, make):
    workdir = tmp_path / "run"
    workdir.mkdir()
    make(workdir / name, elsewhere)
    with open_workdir(str(workdir), CONFIG) as opened:
        opened.metrics.append({"step": 1})
        opened.metrics.append({"step": 2})
        opened.metrics.rewind(1)
    assert [row["step"] for row in MetricsLog(str(workdir / "metrics.jsonl")).rows()] == [1]


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("write", [append_whole, write_durably])
def test_no_writer_follows_a_link_or_waits(tmp_path, elsewhere, make, write):
    make(tmp_path / "file", elsewhere)
    with pytest.raises(OSError):
        write(str(tmp_path / "file"), b"x\n")


@pytest.mark.parametrize("make", LINKS)
def test_replacing_a_link_replaces_the_link(tmp_path, elsewhere, make):
    make(tmp_path / "file", elsewhere)
    write_atomically(str(tmp_path / "file"), b"new")
    assert not (tmp_path / "file").is_symlink() and (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001", "sha256", "writing"])
def test_odd_files_among_checkpoints(tmp_path, elsewhere, ending, make):
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    make(directory / f"ckpt-5.{ending}", elsewhere)
    if ending != "writing":
        assert checkpoint_files.damage(str(directory), 5) is not None
    checkpoint_files.begin(str(directory), 5)  # The place is free for a save.
    assert os.listdir(directory) == ["ckpt-5.writing"]
    assert (directory / "ckpt-5.writing").is_file()


@pytest.mark.parametrize("make", ODD)
def test_an_odd_pointer_and_an_odd_folder_of_a_save(tmp_path, elsewhere, make):
    make(tmp_path / "checkpoint", elsewhere)
    make(tmp_path / "ckpt-5_temp", elsewhere)
    assert checkpoint_files.pointed_steps(str(tmp_path)) == set()
    checkpoint_files.remove_cut_off_saves(str(tmp_path))
    assert not os.path.lexists(tmp_path / "ckpt-5_temp")


@pytest.mark.parametrize("path", ["", " ", "\t"])
def test_an_empty_workdir_is_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="empty"):
        open_workdir(path, CONFIG)
    assert os.listdir(tmp_path) == []


DEEP = ["[" * 200_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000]


@pytest.mark.parametrize("content", [*DEEP, "null", "[]", "3", '"x"', "NaN", '{"a": 1', ""])
def test_deep_or_mistyped_json(tmp_path, content):
    with open_workdir(str(tmp_path), CONFIG) as workdir:
        workdir.metrics.append({"step": 1})
    (tmp_path / "config.json").write_text(content)
    for read in (lambda: read_config(str(tmp_path)), lambda: open_workdir(str(tmp_path), CONFIG)):
        with pytest.raises(ArtefactError, match=r"config\.json"):
            read()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(f'{content}\n{{"step": "x"}}\n{{"step": [2]}}\n{{"step": 3}}\n')
    log = MetricsLog(str(tmp_path / "metrics.jsonl"), log=lambda _: None)
    with pytest.raises(ArtefactError, match="damaged"):
        list(log.rows())
    log.rewind(2)
    assert [row["step"] for row in log.rows()] == [1]


@pytest.mark.parametrize("content", DEEP)
def test_json_too_deep_is_a_value_error(content):
    with pytest.raises(ValueError):
        parse_json(content)


def test_two_writers_of_one_file_have_two_temporary_files(tmp_path, monkeypatch):
    """The second writes while the first is about to replace; the leftover of a third goes."""
    path, seen = tmp_path / "file.json", []
    (tmp_path / "file.json.00000000.tmp").write_text("left by a kill")
    (tmp_path / "notes.tmp").write_text("of the user")
    replace = os.replace

    def replace_late(temporary: str, target: str) -> None:
        if not seen:
            seen.append(temporary)
            remove_leftovers(str(tmp_path), "file.json")  # Not of one that is being written.
            assert os.path.exists(temporary)
            write_atomically(str(path), b"second")
        replace(temporary, target)

    monkeypatch.setattr(durable_files.os, "replace", replace_late)
    write_atomically(str(path), b"first")
    assert path.read_bytes() == b"first"
    assert sorted(os.listdir(tmp_path)) == ["file.json", "notes.tmp"]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failure):
    (tmp_path / "file").write_text("old")

    def fail(_: int) -> None:
        raise failure

    monkeypatch.setattr(durable_files.os, "fsync", fail)
    with pytest.raises(type(failure)):
        write_atomically(str(tmp_path / "file"), b"new")
    assert os.listdir(tmp_path) == ["file"] and read_file(str(tmp_path / "file")) == b"old"


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, DiskError, 4),
        (errno.EDQUOT, DiskError, 4),
        (errno.EFBIG, DiskError, 4),
        (errno.EIO, DiskError, 4),
        (errno.EACCES, UsageError, 2),
        (errno.ENOTDIR, UsageError, 2),
        (errno.EROFS, UsageError, 2),
    ],
)
def test_whose_fault_it_is_that_a_file_cannot_be_written(number, kind, code):
    error = unwritable("out", OSError(number, os.strerror(number)))
    assert isinstance(error, kind) and error.exit_code == code
    assert os.strerror(number) in str(error) and "\n" not in str(error)


def test_a_lock_is_a_file_of_its_own(tmp_path, elsewhere):
    link_to_a_file(tmp_path / ".lock", elsewhere)
    with pytest.raises(OSError, match="symbolic link"):
        hold_lock(str(tmp_path / ".lock"))
