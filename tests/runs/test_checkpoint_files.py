"""Faults while a checkpoint is saved: full disk, I/O errors, kill -9, order of durability."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tensorflow as tf

from meta_shrink import ArtefactError
from meta_shrink.runs.checkpoints import Checkpoints

ROOT = Path(__file__).resolve().parents[2]


class Run:
    """One variable that holds its step, and its checkpoints."""

    def __init__(self, directory: Path) -> None:
        self.value = tf.Variable(tf.zeros([4000]))
        self.messages: list[str] = []
        objects = {"value": self.value}
        self.checkpoints = Checkpoints(
            str(directory), objects, max_to_keep=2, log=self.messages.append
        )

    def save(self, step: int) -> bool:
        self.value.assign(tf.fill([4000], float(step)))
        return self.checkpoints.save(step)


def restored(directory: Path) -> int | None:
    run = Run(directory)
    step = run.checkpoints.restore()
    assert step is None or bool(tf.reduce_all(run.value == float(step)))
    return step


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def files_of(*steps: int) -> set[str]:
    endings = (".data-00000-of-00001", ".index", ".sha256")
    return {"checkpoint", *(f"ckpt-{step}{end}" for step in steps for end in endings)}


@contextmanager
def files_no_larger_than(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 10, 100, 5_000, 15_999])
def test_file_too_large(tmp_path, limit):
    run = Run(tmp_path)
    assert run.save(1) and run.save(2)
    with files_no_larger_than(limit):
        assert not run.save(3)
        assert not run.save(4)
        assert names(tmp_path) == files_of(1, 2)
        with pytest.raises(ArtefactError, match=r"3 of 3 in a row; the last good one is ckpt-2"):
            run.save(5)
    assert "ckpt-3 could not be saved" in run.messages[0] and len(run.messages) == 2
    assert restored(tmp_path) == 2
    assert run.save(6) and names(tmp_path) == files_of(2, 6)


def test_failures_count_only_in_a_row(tmp_path):
    run = Run(tmp_path)
    for step in range(1, 13):
        with files_no_larger_than(1 << 40 if step % 3 == 0 else 100):
            assert run.save(step) == (step % 3 == 0)
    assert names(tmp_path) == files_of(9, 12)


def failing_at(monkeypatch, name: str, call: int, code: int) -> None:
    """Let one call of an `os` function fail, counted from 0."""
    genuine: Callable = getattr(os, name)
    calls = iter(range(1_000_000))

    def faulty(*arguments, **options):
        if next(calls) == call:
            raise OSError(code, os.strerror(code))
        return genuine(*arguments, **options)

    monkeypatch.setattr(os, name, faulty)


CALLS = [*(("fsync", call) for call in range(7)), ("replace", 0), ("remove", 0), ("remove", 1)]


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_io_error_at_any_boundary(tmp_path, monkeypatch, name, call):
    code = (errno.ENOSPC, errno.EIO, errno.EFBIG)[call % 3]
    run = Run(tmp_path)
    assert run.save(1) and run.save(2)
    with monkeypatch.context() as patch:
        failing_at(patch, name, call, code)
        done = run.save(3)
    assert restored(tmp_path) == (3 if done else 2)
    assert run.save(4)
    assert names(tmp_path) == (files_of(3, 4) if done else files_of(2, 4))
    assert restored(tmp_path) == 4


def test_tensorflow_reports_a_full_disk(tmp_path, monkeypatch):
    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    run = Run(tmp_path)
    monkeypatch.setattr(tf.train.CheckpointManager, "save", full)
    assert not run.save(1)
    assert "(No space left on device); failure 1 of 3" in run.messages[0]
    assert names(tmp_path) == set() and restored(tmp_path) is None


def test_the_pointer_moves_after_everything_is_on_the_disk(tmp_path, monkeypatch):
    run = Run(tmp_path)
    assert run.save(1)
    synced: list[str] = []
    genuine = os.fsync

    def recording(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        if "ckpt-2" not in (tmp_path / "checkpoint").read_text():
            synced.append(name)
        genuine(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    assert run.save(2)
    files = ["ckpt-2.data-00000-of-00001", "ckpt-2.index"]
    folder = tmp_path.name
    assert synced == [folder, *files, folder, "ckpt-2.writing", folder]


@pytest.mark.parametrize("have_older", [True, False])
@pytest.mark.parametrize("left", ["", ".index", ".data-00000-of-00001", "_temp"])
def test_a_save_that_was_cut_off_is_removed(tmp_path, have_older, left):
    if have_older:
        assert Run(tmp_path).save(1)
    before = names(tmp_path)
    (tmp_path / "ckpt-2.writing").write_text("half a ha")
    (tmp_path / "checkpoint.tmp0123456789abcdef").write_text("")
    if left == "_temp":
        (tmp_path / "ckpt-2_temp").mkdir()
        (tmp_path / "ckpt-2_temp" / "part-00000-of-00001.index").write_text("")
    elif left:
        (tmp_path / f"ckpt-2{left}").write_text("half")
    assert Checkpoints(str(tmp_path), {}, is_chief=False, log=print)  # A reader changes nothing.
    assert "ckpt-2.writing" in names(tmp_path)
    assert restored(tmp_path) == (1 if have_older else None)
    assert names(tmp_path) == before


# TensorFlow is imported once; its threads start after the fork, in each child.
KILLER = """
import os, random, signal, sys, time
import tensorflow as tf
from meta_shrink.runs.checkpoints import Checkpoints

def loop(directory, ready):
    value = tf.Variable(tf.zeros([20000]))
    checkpoints = Checkpoints(directory, {"value": value}, max_to_keep=2)
    start = checkpoints.restore() or 0
    if not bool(tf.reduce_all(value == float(start))):
        os._exit(1)
    os.write(ready, b"%d\\n" % start)
    for step in range(start + 1, 1_000_000):
        value.assign(tf.fill([20000], float(step)))
        checkpoints.save(step)
        os.write(ready, b"%d\\n" % step)

draw = random.Random(0)
acknowledged = 0
for kill in range(int(sys.argv[2])):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            loop(sys.argv[1], writing)
        except BaseException as error:
            print("died:", repr(error))
        finally:
            os._exit(1)
    os.close(writing)
    told = os.read(reading, 100)
    start = int(told.split()[0])
    if start not in (acknowledged, acknowledged + 1):
        sys.exit(f"restored {start} after {acknowledged} was acknowledged")
    if kill % 2:  # A slow disk must not keep the run from ever getting on.
        told += os.read(reading, 100)
    time.sleep(draw.uniform(0.0, 0.2))
    os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] != signal.SIGKILL:
        sys.exit("the child ended by itself")
    with os.fdopen(reading, "rb") as acknowledgements:
        acknowledged = max(map(int, (told + acknowledgements.read()).split()))
print(acknowledged)
"""


def test_kill_at_random_instants(tmp_path):
    """After each kill the last acknowledged save, or the next one, is restored; nothing is left."""
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path), "8"],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    acknowledged = int(done.stdout.split()[-1])
    run = Run(tmp_path)
    run.value = tf.Variable(tf.zeros([20000]))
    run.checkpoints = Checkpoints(str(tmp_path), {"value": run.value}, max_to_keep=2)
    newest = run.checkpoints.restore()
    assert newest in (acknowledged, acknowledged + 1) and acknowledged >= 4
    assert run.checkpoints.save(newest + 1)
    assert names(tmp_path) == files_of(newest, newest + 1)
