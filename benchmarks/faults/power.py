"""R13: what is left when the power goes within a save."""

from __future__ import annotations

import os
import shutil
from typing import Any

from benchmarks.faults.checkpoints import Saved, overwrite
from benchmarks.faults.results import Row


def power_loss(folder: str) -> Row:
    """R13: after each fsync of a save only what was made durable is left."""
    directory = os.path.join(folder, "power")
    saved = Saved(directory)
    saved.save(5)
    states = []
    durable = {name: _content(directory, name) for name in os.listdir(directory)}
    synced = dict(durable)
    genuine = os.fsync

    def recording(descriptor: int) -> None:
        nonlocal durable
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.isdir(path):  # Its names, with as much of each as was synced.
            durable = {name: synced.get(name, b"") for name in os.listdir(directory)}
        else:
            synced[os.path.basename(path)] = _content(directory, os.path.basename(path))
            for name, content in synced.items():
                if name in durable:
                    durable[name] = content
        states.append(dict(durable))
        genuine(descriptor)

    os.fsync = recording
    try:
        replace = os.replace
        os.replace = lambda old, new, **_: (_renamed(synced, old, new), replace(old, new))[1]
        saved.save(10)
    finally:
        os.fsync, os.replace = genuine, replace
    good = sum(_restored(folder, state) in (5, 10) for state in states)
    what = f"power lost after each of {len(states)} fsyncs of a save"
    goal = "a complete checkpoint is restored"
    return Row("R13", what, goal, f"{good}/{len(states)}", good == len(states))


def _renamed(synced: dict[str, bytes], old: Any, new: Any) -> None:
    if os.path.basename(old) in synced:
        synced[os.path.basename(new)] = synced[os.path.basename(old)]


def _content(directory: str, name: str) -> bytes:
    path = os.path.join(directory, name)
    if not os.path.isfile(path):
        return b""
    with open(path, "rb") as file:
        return file.read()


def _restored(folder: str, state: dict[str, bytes]) -> Any:
    path = os.path.join(folder, "after")
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    for name, content in state.items():
        if not name.endswith("_temp"):
            overwrite(os.path.join(path, name), content)
    return Saved(path).restore()
