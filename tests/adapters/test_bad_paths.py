"""Paths that are no adapter: nothing hangs, nothing is followed, what is read is what is hashed."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meta_shrink import AdapterError, load_adapter
from meta_shrink.adapters import regular_file
from meta_shrink.adapters.canonical_json import sha256
from meta_shrink.adapters.reading import adapter_path, max_bytes
from meta_shrink.adapters.writing import write_adapter
from tests.adapters import samples

INFO = samples.backbone()
GOOD = samples.encoded(INFO)
OTHER = samples.encoded(INFO, task=samples.TaskFacts("other", 1, 1, 1))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return Path(write_adapter(GOOD, str(tmp_path)))


def refused(path: object, code: str) -> str:
    """The sentence with which a path is refused; a pipe that was waited for would hang here."""
    with pytest.raises(AdapterError) as caught:
        load_adapter(str(path), INFO)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def replace_call(monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[..., Any]) -> None:
    """Another os.<name>, for the module that reads adapters only."""
    monkeypatch.setattr(regular_file, "os", SimpleNamespace(**{**vars(os), name: call}))


def test_missing(tmp_path):
    refused(tmp_path / "none.safetensors", "not_found")
    refused(tmp_path / "none" / "none.safetensors", "not_found")
    refused("", "not_found")


def test_link(tmp_path, good):
    (tmp_path / "link").symlink_to(good)
    (tmp_path / "broken").symlink_to(tmp_path / "none")
    assert "symbolic link" in refused(tmp_path / "link", "file")
    refused(tmp_path / "broken", "file")


def test_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "file")


def test_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # The path of a socket must be short.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        refused("socket", "file")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/proc", "/", ".", "a\0b", "a" * 5000])
def test_no_file(path):
    refused(path, "file")


def test_proc_files_have_no_size():
    refused("/proc/self/environ", "size")


def test_not_in_a_directory(good):
    refused(good / "x", "file")


@pytest.mark.parametrize("name", ["open", "read", "fstat"])
def test_what_the_system_refuses(name, good, monkeypatch):
    def fail(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    replace_call(monkeypatch, name, fail)
    assert "Permission denied" in refused(good, "file")


def test_a_long_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "long"
    path.touch()
    os.truncate(path, 2**40)  # Sparse.
    replace_call(monkeypatch, "read", lambda *_: pytest.fail("it was read"))
    refused(path, "size")
    os.truncate(path, max_bytes(INFO) + 1)
    refused(path, "size")


def change_when_opened(monkeypatch: pytest.MonkeyPatch, change) -> None:
    """Runs `change` between the look at the opened file and the reading of it."""
    look = os.fstat

    def look_and_change(descriptor: int) -> os.stat_result:
        facts = look(descriptor)
        change()
        return facts

    replace_call(monkeypatch, "fstat", look_and_change)


def test_a_file_swapped_while_it_is_loaded(tmp_path, good, monkeypatch):
    (tmp_path / "new").write_bytes(OTHER)
    change_when_opened(monkeypatch, lambda: os.replace(tmp_path / "new", good))
    adapter = load_adapter(str(good), INFO, sha256=sha256(GOOD))
    assert (adapter.id, adapter.manifest.task.id) == (sha256(GOOD), samples.TASK.id)
    assert good.read_bytes() == OTHER


def test_a_file_overwritten_while_it_is_loaded(good, monkeypatch):
    """What is hashed is what was read, all of it after the change."""
    change_when_opened(monkeypatch, lambda: good.write_bytes(OTHER[:-1] + b"\0"))
    with pytest.raises(AdapterError) as caught:
        load_adapter(str(good), INFO, sha256=sha256(GOOD))
    assert caught.value.code in ("pin", "size")


@pytest.mark.parametrize("length", [0, len(GOOD) - 1, len(GOOD) + 1])
def test_a_file_that_changes_its_length(length, good, monkeypatch):
    change_when_opened(monkeypatch, lambda: os.truncate(good, length))
    assert "changed while it was read" in refused(good, "size")


def test_loading_writes_nothing_and_leaves_nothing_open(tmp_path, good):
    def state():
        files = sorted(tmp_path.rglob("*"))
        facts = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in files]
        return facts, os.listdir("/proc/self/fd")

    (tmp_path / "bad").write_bytes(GOOD[:100])
    os.mkfifo(tmp_path / "pipe")
    before = state()
    load_adapter(str(good), INFO)
    for name in ("bad", "pipe", "none", ""):
        with pytest.raises(AdapterError):
            load_adapter(str(tmp_path / name), INFO)
    assert state() == before


IDS = ["", "../../x", "https://example.com/a", "x" * 10**6, "A" * 64, "0" * 63, "0" * 64 + "\n"]
IDS += ["../" + "0" * 61, "0" * 63 + "٣", None, 7, b"0" * 64]


@pytest.mark.parametrize("name", IDS, ids=range(len(IDS)))
def test_ids_that_are_none(name):
    with pytest.raises(AdapterError) as caught:
        adapter_path("adapters", name)
    assert caught.value.code == "id"
    assert len(str(caught.value)) < 200


def test_an_id_finds_its_file(tmp_path, good):
    path = adapter_path(str(tmp_path), sha256(GOOD))
    assert path == str(good)
    assert load_adapter(path, INFO, sha256=sha256(GOOD)).id == sha256(GOOD)


@pytest.mark.parametrize("end", ["", "/", "//"])
def test_a_linked_directory(end, tmp_path, good):
    (tmp_path / "link").symlink_to(good.parent, target_is_directory=True)
    with pytest.raises(AdapterError, match="symbolic link") as caught:
        adapter_path(str(tmp_path / "link") + end, sha256(GOOD))
    assert caught.value.code == "file"
