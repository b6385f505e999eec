"""remote/mirror.py: a local copy, what is uploaded of it, and kills between any two objects."""

from __future__ import annotations

import functools
import os
import time
import uuid
from pathlib import Path

import pytest
import tensorflow as tf
from fsspec.implementations.memory import MemoryFileSystem

from meta_shrink import ArtefactError
from meta_shrink.errors import InUseError
from meta_shrink.remote import mirror as mirrors
from meta_shrink.remote.lease import Lease
from meta_shrink.remote.mirror import Mirror
from meta_shrink.remote.store import Store
from meta_shrink.runs.checkpoints import Checkpoints


@pytest.fixture(autouse=True)
def quick_lease(monkeypatch):
    monkeypatch.setattr(mirrors, "Lease", functools.partial(Lease, seconds=0.3))


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}/runs/one"


@pytest.fixture
def copy(url, tmp_path):
    """Makes a new copy of the url, as another machine would."""

    def make() -> Mirror:
        parent = tmp_path / uuid.uuid4().hex
        parent.mkdir()
        mirror = Mirror(url, str(parent))
        mirror.pull()
        return mirror

    return make


def files(mirror: Mirror) -> dict[str, str]:
    root = Path(mirror.path).parent
    return {
        str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()
    }


def write(mirror: Mirror, name: str, text: str) -> None:
    path = Path(mirror.path) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_folder_goes_there_and_back_and_changes_follow(copy):
    first = copy()
    assert not os.path.exists(first.path)
    write(first, "a.txt", "1")
    write(first, "deep/b.txt", "2")
    first.push()
    second = copy()
    assert files(second) == {"one/a.txt": "1", "one/deep/b.txt": "2"}
    write(second, "a.txt", "changed")
    os.remove(Path(second.path) / "deep/b.txt")
    second.push()
    assert files(copy()) == {"one/a.txt": "changed"}


def test_only_what_changed_is_uploaded_so_that_a_reader_undoes_nothing(copy):
    owner = copy()
    write(owner, "metrics", "1")
    write(owner, "old", "1")
    owner.push()
    reader = copy()
    write(owner, "metrics", "2")
    os.remove(Path(owner.path) / "old")
    owner.push()
    write(reader, "evaluation", "3")
    reader.push()
    assert files(copy()) == {"one/metrics": "2", "one/evaluation": "3"}


def test_locks_and_what_is_being_written_stay_here(copy):
    first = copy()
    for name in (".lock", "x.0123abcd.tmp", ".unfinished-2/saved_model.pb", "c/ckpt-7.writing"):
        write(first, name, "")
    write(first, "c/ckpt-7.index", "torn")
    write(first, "c/ckpt-6.index", "whole")
    first.push()
    assert files(copy()) == {"one/c/ckpt-6.index": "whole"}


def test_what_says_that_others_are_whole_comes_last_and_goes_first(copy, monkeypatch):
    """TF Serving takes a version whose SavedModel it sees."""
    first, calls = copy(), []
    names = "1/assets.extra/backbone.json", "1/saved_model.pb", "1/variables/variables.index"
    names += ("ckpt-1.index", "ckpt-1.sha256")
    for name in names:
        write(first, name, name)
    upload, remove = Store.upload, Store.remove
    monkeypatch.setattr(Store, "upload", lambda s, path, n: calls.append(n) or upload(s, path, n))
    monkeypatch.setattr(Store, "remove", lambda s, n: calls.append(n) or remove(s, n))
    first.push()
    assert set(calls[:2]) == {"one/1/variables/variables.index", "one/ckpt-1.index"}
    calls.clear()
    for name in names:
        os.remove(Path(first.path) / name)
    first.push()
    assert set(calls[3:]) == {"one/1/variables/variables.index", "one/ckpt-1.index"}


def test_a_file_and_what_is_written_beside_it(copy, url):
    sound = copy()
    Path(sound.path).write_text("sound")
    Path(f"{sound.path}.png").write_text("picture")
    sound.push()
    assert files(copy()) == {"one": "sound"}
    assert Store.of(url.rpartition("/")[0]).read("one.png") == b"picture"


def test_a_name_that_begins_alike_is_another_folder(copy, url):
    Store.of(url.rpartition("/")[0]).write("one_more/x", b"1")
    assert files(copy()) == {}


@pytest.mark.parametrize("name", ["one/../../escaped", "one/./x", "one//x"])
def test_an_object_that_leads_out_of_the_copy_is_refused(copy, url, monkeypatch, name):
    """Whoever may write the bucket may not write this machine."""
    root = url.removeprefix("memory:/").removesuffix("/one")
    found = {f"{root}/{name}": {"type": "file", "size": 1}}
    monkeypatch.setattr(MemoryFileSystem, "find", lambda *_, **__: found)
    with pytest.raises(ArtefactError, match="has an object 'one/"):
        copy()


def test_markers_of_folders_are_no_files(copy, url, monkeypatch):
    root = url.removeprefix("memory:/").removesuffix("/one")
    found = {f"{root}/one/": {"type": "file"}, f"{root}/one/x": {"type": "directory"}}
    monkeypatch.setattr(MemoryFileSystem, "find", lambda *_, **__: found)
    assert files(copy()) == {}


@pytest.mark.parametrize("cut", range(14))
def test_a_kill_between_any_two_objects_leaves_a_whole_checkpoint(copy, monkeypatch, cut):
    """The third and fourth save, the second of which prunes; the upload ends after `cut` calls."""
    first, variable = copy(), tf.Variable(0.0)
    checkpoints = Checkpoints(
        f"{first.path}/checkpoints", {"x": variable}, max_to_keep=2, log=lambda _: None
    )
    checkpoints.restore()

    def save(step: int) -> None:
        variable.assign(float(step))
        assert checkpoints.save(step)
        first.push()

    save(1)
    save(2)
    calls = []

    def counted(method):
        def call(self, *arguments):
            calls.append(arguments)
            if len(calls) > cut:
                raise InterruptedError
            return method(self, *arguments)

        return call

    monkeypatch.setattr(Store, "upload", counted(Store.upload))
    monkeypatch.setattr(Store, "remove", counted(Store.remove))
    reached = 2
    try:
        for reached in (3, 4):
            save(reached)
    except InterruptedError:
        reached -= 1  # What is there may be one further: its mark was the last to arrive.
    monkeypatch.undo()
    other, read = copy(), tf.Variable(-1.0)
    step = Checkpoints(f"{other.path}/checkpoints", {"x": read}, log=lambda _: None).restore()
    assert step in (reached, reached + 1) and float(read.numpy()) == step


def test_an_owner_pulls_again_and_keeps_others_out(copy):
    first, second = copy(), copy()
    with first.leased():
        write(first, "x", "1")
        first.push()
        with pytest.raises(InUseError), second.leased():
            pass
    with second.leased():
        assert files(second)["one/x"] == "1"


def test_who_lost_the_folder_uploads_nothing(copy, url):
    """Stopped for so long that another process has taken over: it may come back at any line."""
    first, folder = copy(), url.rpartition("/")[0]
    with pytest.raises(InUseError, match="was taken over"), first.leased():
        Store.of(folder).write("one/.lease", b'{"owner": "another"}')
        for number in range(500):
            write(first, "x", str(number))
            first.push()
            time.sleep(0.01)
    assert b"another" in (Store.of(folder).read("one/.lease") or b"")
