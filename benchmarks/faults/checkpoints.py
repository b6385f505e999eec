"""R3 to R6, R10, R11: checkpoints that are damaged, disks that are full, folders in use."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.faults.results import Row
from meta_shrink.errors import ArtefactError, InUseError, UsageError
from meta_shrink.runs.checkpoints import Checkpoints
from meta_shrink.runs.workdir import open_workdir


class Saved:
    """Two variables, a function of the step, and their checkpoints."""

    def __init__(self, directory: str) -> None:
        self.variables = [tf.Variable(tf.zeros([8, 8])), tf.Variable(tf.zeros([5]))]
        objects = {"phi": self.variables[0], "log_sigma2": self.variables[1]}
        self.checkpoints = Checkpoints(directory, objects, log=lambda _: None)

    def save(self, step: int) -> bool:
        """Fill the variables and save them."""
        for variable in self.variables:
            variable.assign(tf.fill(variable.shape, float(step)))
        return self.checkpoints.save(step)

    def restore(self) -> Any:
        """The step; "refused"; or "wrong" where the values are of no one step."""
        for variable in self.variables:
            variable.assign(tf.fill(variable.shape, np.nan))
        try:
            step = self.checkpoints.restore()
        except ArtefactError:
            return "refused"
        right = all(np.all(variable.numpy() == step) for variable in self.variables)
        return step if step is None or right else "wrong"


def original(folder: str) -> str:
    """A folder with the checkpoints of steps 5 and 10."""
    path = os.path.join(folder, "original")
    shutil.rmtree(path, ignore_errors=True)
    saved = Saved(path)
    saved.save(5)
    saved.save(10)
    return path


def restored_after(folder: str, source: str, change: Callable[[str], Any]) -> Any:
    """What `restore` finds in a copy that `change` has changed."""
    copy = os.path.join(folder, "copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy)
    change(copy)
    return Saved(copy).restore()


def damages(folder: str, flips: int, seed: int = 0) -> list[Row]:
    """R3, R4, R5."""
    source, draw = original(folder), random.Random(seed)
    newest = sorted(name for name in os.listdir(source) if name.startswith("ckpt-10."))
    found = []
    for name in newest:
        size = os.path.getsize(os.path.join(source, name))
        changes: list[Callable[[str], Any]] = [lambda c, n=name: os.remove(os.path.join(c, n))]
        changes += [
            lambda c, n=name, s=size * percent // 100: os.truncate(os.path.join(c, n), s)
            for percent in (0, 25, 50, 75, 99)
        ]
        bits = draw.sample(range(8 * size), min(8 * size, flips // len(newest)))
        changes += [lambda c, n=name, b=bit: flip(os.path.join(c, n), b) for bit in bits]
        found += [restored_after(folder, source, change) for change in changes]
    good = sum(step == 5 for step in found)
    what = f"newest checkpoint deleted, cut, or one bit flipped, each of {len(newest)} files"
    row_3 = Row("R3", what, "the one before is used", f"{good}/{len(found)}", good == len(found))
    pointers = [
        lambda c: os.remove(os.path.join(c, "checkpoint")),
        lambda c: os.truncate(os.path.join(c, "checkpoint"), 0),
        lambda c: os.truncate(os.path.join(c, "checkpoint"), 20),
        lambda c: overwrite(os.path.join(c, "checkpoint"), b"\xff\x00garbage"),
    ]
    good = sum(restored_after(folder, source, change) == 10 for change in pointers)
    what = "pointer file deleted, empty, cut, garbage"
    row_4 = Row("R4", what, "4/4 use the newest", f"{good}/4", good == 4)

    def break_all(copy: str) -> None:
        for name in os.listdir(copy):
            if name.endswith(".index"):
                flip(os.path.join(copy, name), 99)

    result = restored_after(folder, source, break_all)
    row_5 = Row("R5", "all checkpoints broken", "refused", str(result), result == "refused")
    return [row_3, row_4, row_5]


def flip(path: str, bit: int) -> None:
    """Flip one bit of a file."""
    with open(path, "r+b") as file:
        content = bytearray(file.read())
        content[bit // 8] ^= 1 << bit % 8
        file.seek(0)
        file.write(content)


def overwrite(path: str, content: bytes) -> None:
    """Write a file."""
    with open(path, "wb") as file:
        file.write(content)


def full_disks(folder: str, every: int) -> Row:
    """R6: files may not grow beyond a limit, which walks through a save."""
    source = original(folder)
    largest = max(os.path.getsize(os.path.join(source, name)) for name in os.listdir(source))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    good = cases = 0
    for limit in range(0, largest + every, every):
        copy = os.path.join(folder, "full")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy)
        saved = Saved(copy)
        saved.checkpoints.restore()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            ended = saved.save(15)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        cases += 1
        good += Saved(copy).restore() == (15 if ended else 10)
    what = f"no room, a limit for every {every} bytes of a save"
    goal = "the run goes on, the last good checkpoint is intact"
    return Row("R6", what, goal, f"{good}/{cases}", good == cases)


def in_use(folder: str) -> Row:
    """R10: a second process on one workdir."""
    workdir, config = os.path.join(folder, "in_use"), {"seed": 1}
    pid = os.fork()
    if pid == 0:
        with open_workdir(workdir, config):
            time.sleep(60)
    try:
        while not os.path.exists(os.path.join(workdir, "config.json")):
            time.sleep(0.01)
        started, refused = time.process_time(), False
        try:
            open_workdir(workdir, config)
        except InUseError:
            refused = True
        seconds = time.process_time() - started
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    found = f"{'refused' if refused else 'let in'} in {1000 * seconds:.1f} ms of the processor"
    return Row("R10", "two processes on one workdir", "refused in < 1 s", found, refused)


def other_configs(folder: str) -> Row:
    """R11: every key of a config changed, one at a time."""
    config = {"seed": 1, "train": {"steps": 9, "clip": 0.5}, "prior": {"sigma2": "inf"}, "t": [1]}
    workdir, told = os.path.join(folder, "config"), 0
    open_workdir(workdir, config).close()
    others = {
        "seed": {**config, "seed": 2},
        "train.steps": {**config, "train": {"steps": 10, "clip": 0.5}},
        "train.clip": {**config, "train": {"steps": 9}},
        "prior.sigma2": {**config, "prior": {"sigma2": 1.0}},
        "t": {**config, "t": [1, 2]},
        "new": {**config, "new": 0},
    }
    for key, other in others.items():
        try:
            open_workdir(workdir, other).close()
        except UsageError as error:
            told += f"{key}: " in str(error)
    found = f"{told}/{len(others)}"
    goal = "refused, the key is named"
    return Row("R11", "resumed with another config", goal, found, told == len(others))


def rows(folder: str, *, flips: int, every: int) -> Iterator[Row]:
    """All of this file."""
    yield from damages(folder, flips)
    yield full_disks(folder, every)
    yield in_use(folder)
    yield other_configs(folder)
