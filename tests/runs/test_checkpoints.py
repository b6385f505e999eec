"""Checkpoints: restore, fall back, refuse, keep and prune. Faults: test_checkpoint_files.py."""

from __future__ import annotations

import os
import random
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ArtefactError, UsageError
from meta_shrink.runs import checkpoint_files
from meta_shrink.runs.checkpoints import Checkpoints

DATA, INDEX, HASHES = ".data-00000-of-00001", ".index", ".sha256"


class Run:
    """Two variables that a function of the step fills, and their checkpoints."""

    def __init__(self, directory: Path, **options) -> None:
        self.phi = tf.Variable(tf.zeros([3, 4]))
        self.log_sigma2 = tf.Variable(tf.zeros([5]))
        self.messages: list[str] = []
        objects = {"phi": self.phi, "log_sigma2": self.log_sigma2}
        self.checkpoints = Checkpoints(str(directory), objects, log=self.messages.append, **options)

    def save(self, step: int) -> bool:
        self.phi.assign(tf.fill([3, 4], float(step)))
        self.log_sigma2.assign(tf.fill([5], -float(step)))
        return self.checkpoints.save(step)

    def restore(self) -> int | None:
        """The restored step; everything restored is of that one step."""
        self.phi.assign(tf.fill([3, 4], np.nan))
        self.log_sigma2.assign(tf.fill([5], np.nan))
        step = self.checkpoints.restore()
        if step is not None:
            assert np.all(self.phi.numpy() == step) and np.all(self.log_sigma2.numpy() == -step)
        return step


def saved(directory: Path, *steps: int) -> None:
    run = Run(directory)
    assert all([run.save(step) for step in steps])


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def files_of(*steps: int) -> list[str]:
    endings = (DATA, INDEX, HASHES)
    return sorted(["checkpoint", *(f"ckpt-{step}{end}" for step in steps for end in endings)])


def flip_bit(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def truncate(path: Path, percent: int) -> None:
    os.truncate(path, path.stat().st_size * percent // 100)


def test_nothing_there_is_a_fresh_start(tmp_path):
    assert Run(tmp_path / "new").restore() is None
    assert Run(tmp_path / "reader", is_chief=False).restore() is None
    assert not (tmp_path / "reader").exists()


def test_save_and_restore(tmp_path):
    saved(tmp_path, 5, 10, 15, 20)
    assert names(tmp_path) == files_of(10, 15, 20)
    run = Run(tmp_path)
    assert run.restore() == 20
    assert run.messages == []
    assert tf.train.latest_checkpoint(tmp_path) == str(tmp_path / "ckpt-20")


def test_optimizer_is_restored_bit_for_bit(tmp_path):
    def trained(steps: int) -> tuple[tf.Variable, keras.optimizers.Optimizer]:
        variable, optimizer = keras.Variable([1.0, 2.0]), keras.optimizers.Adam(0.1)
        optimizer.build([variable])
        for _ in range(steps):
            optimizer.apply([variable * 0.3], [variable])
        return variable, optimizer

    variable, optimizer = trained(3)
    Checkpoints(str(tmp_path), {"phi": variable, "optimizer": optimizer}).save(3)
    other, other_optimizer = trained(0)
    assert Checkpoints(str(tmp_path), {"phi": other, "optimizer": other_optimizer}).restore() == 3
    for mine, its in zip(optimizer.variables, other_optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), its.numpy())
    np.testing.assert_array_equal(variable.numpy(), other.numpy())


BREAKERS = {
    "deleted": Path.unlink,
    **{f"cut to {p} %": lambda path, p=p: truncate(path, p) for p in (0, 25, 50, 75, 99)},
    "garbage": lambda path: path.write_bytes(random.Random(0).randbytes(path.stat().st_size)),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("ending", [DATA, INDEX, HASHES])
@pytest.mark.parametrize("breaker", BREAKERS)
def test_broken_newest_falls_back(tmp_path, ending, breaker):
    saved(tmp_path, 10, 20, 30)
    BREAKERS[breaker](tmp_path / f"ckpt-30{ending}")
    run = Run(tmp_path)
    assert run.restore() == 20
    assert "ckpt-30" in run.messages[0] and "ckpt-20" in run.messages[-1]
    assert run.save(25)  # Goes on from step 20; the broken one is gone, the newest is the highest.
    assert names(tmp_path) == files_of(10, 20, 25)
    assert Run(tmp_path).restore() == 25


@pytest.mark.parametrize("ending", [DATA, INDEX, HASHES])
def test_bit_flips_are_seen(tmp_path, ending):
    saved(tmp_path, 7)
    path = tmp_path / f"ckpt-7{ending}"
    for bit in random.Random(0).sample(range(8 * path.stat().st_size), 300):
        flip_bit(path, bit)
        assert checkpoint_files.damage(str(tmp_path), 7), f"bit {bit}"
        flip_bit(path, bit)
    assert checkpoint_files.damage(str(tmp_path), 7) is None


def test_random_bit_flips_fall_back(tmp_path):
    saved(tmp_path, 10, 20)
    draw = random.Random(1)
    for _ in range(40):
        path = tmp_path / f"ckpt-20{draw.choice([DATA, INDEX, HASHES])}"
        bit = draw.randrange(8 * path.stat().st_size)
        flip_bit(path, bit)
        assert Run(tmp_path, is_chief=False).restore() == 10
        flip_bit(path, bit)


POINTERS = {
    "deleted": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(range(256))),
    "truncated": lambda path: truncate(path, 20),
    "points elsewhere": lambda path: path.write_text('model_checkpoint_path: "/nowhere/ckpt-1"\n'),
    "directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("breaker", POINTERS)
def test_broken_pointer_is_harmless(tmp_path, breaker):
    saved(tmp_path, 10, 20, 30)
    POINTERS[breaker](tmp_path / "checkpoint")
    run = Run(tmp_path)
    assert run.restore() == 30
    assert len(run.messages) == 1 and "checkpoint is missing, damaged or stale" in run.messages[0]
    if breaker != "directory":
        assert run.save(40)
        assert names(tmp_path) == files_of(20, 30, 40)
        assert tf.train.latest_checkpoint(tmp_path) == str(tmp_path / "ckpt-40")


def test_two_broken_checkpoints_and_the_pointer(tmp_path):
    saved(tmp_path, 10, 20, 30)
    truncate(tmp_path / f"ckpt-30{DATA}", 50)
    (tmp_path / f"ckpt-20{INDEX}").unlink()
    (tmp_path / "checkpoint").unlink()
    assert Run(tmp_path).restore() == 10


@pytest.mark.parametrize("left", ["damaged files", "only a pointer", "no hashes", "no pointer"])
def test_all_broken_is_an_error(tmp_path, left):
    saved(tmp_path, 10, 20)
    for path in tmp_path.glob("ckpt-*"):
        if left == "only a pointer" or (left == "no hashes" and path.suffix == HASHES):
            path.unlink()
        else:
            truncate(path, 50)
    if left in ("no hashes", "no pointer"):
        (tmp_path / "checkpoint").unlink()
    with pytest.raises(ArtefactError, match=r"no intact checkpoint: ckpt-20 .*ckpt-10 ") as caught:
        Run(tmp_path).restore()
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "objects",
    [
        lambda: {"phi": tf.Variable(tf.zeros([4, 4])), "log_sigma2": tf.Variable(tf.zeros([5]))},
        lambda: {"phi": keras.Variable(np.zeros([3, 5]))},
        lambda: {"phi": tf.Variable(tf.zeros([3, 4], tf.float64))},
        lambda: {"phi": tf.Variable(tf.zeros([3, 4])), "log_alpha": tf.Variable(tf.zeros([5]))},
    ],
    ids=["shape", "keras shape", "dtype", "missing object"],
)
def test_other_objects_are_refused(tmp_path, objects):
    saved(tmp_path, 10)
    with pytest.raises(ArtefactError, match="another model, method or version"):
        Checkpoints(str(tmp_path), objects()).restore()


def test_wrong_use(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        Run(tmp_path / "file" / "checkpoints")
    with pytest.raises(UsageError, match="max_to_keep is 0"):
        Run(tmp_path, max_to_keep=0)
    saved(tmp_path, 10)
    with pytest.raises(UsageError, match=r"call restore\(\) before save"):
        Run(tmp_path).save(20)
    run = Run(tmp_path)
    assert run.restore() == 10
    with pytest.raises(UsageError, match="after step 10"):
        run.save(9)


def test_the_same_step_is_written_once(tmp_path):
    run = Run(tmp_path)
    assert run.save(10)
    before = (tmp_path / f"ckpt-10{DATA}").stat().st_mtime_ns
    assert run.save(10)
    assert (tmp_path / f"ckpt-10{DATA}").stat().st_mtime_ns == before
    truncate(tmp_path / f"ckpt-10{DATA}", 50)
    assert run.save(10) and Run(tmp_path).restore() == 10


def test_only_the_chief_writes(tmp_path):
    saved(tmp_path, 10)
    before = names(tmp_path)
    worker = Run(tmp_path, is_chief=False)
    assert worker.restore() == 10 and worker.save(20)
    assert names(tmp_path) == before and worker.messages == []


def test_the_newest_remain_where_there_are_more_than_are_kept(tmp_path):
    saved(tmp_path, 1, 2, 3)
    Run(tmp_path, max_to_keep=2).checkpoints._prune()
    assert names(tmp_path) == files_of(2, 3)
