"""The files of a directory of checkpoints: which are whole, what is damaged, what a kill left.

A checkpoint of step N is ckpt-N.index, ckpt-N.data-* and ckpt-N.sha256 (`sha256sum -c` reads it).
The last one is its commit mark: while a save is under way it is called ckpt-N.writing, and it gets
its name when everything is on the disk. What has a .writing is therefore a save that was cut off;
any other checkpoint that is not as its .sha256 says was damaged afterwards. TensorFlow's pointer
file (`checkpoint`) is kept right for other programs and is only a hint here: the files count.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil

from meta_shrink.durable_files import (
    open_regular,
    read_file,
    remove_file,
    remove_leftovers,
    sync_directory,
    sync_file,
    write_atomically,
    write_durably,
)

POINTER = "checkpoint"
_FILE = re.compile(r"ckpt-(0|[1-9]\d{0,17})(\.\S+|_temp)")
_LISTED = re.compile(rb'all_model_checkpoint_paths: "(?:[^"\n]*/)?ckpt-(\d{1,18})"')
_HASH_LINE = re.compile(r"([0-9a-f]{64})  (\S+)\n")


def _endings(directory: str) -> dict[int, set[str]]:
    """{step: {".index", ".data-00000-of-00001", ".sha256", ...}} of the files that are there."""
    endings: dict[int, set[str]] = {}
    if os.path.isdir(directory):
        for match in map(_FILE.fullmatch, os.listdir(directory)):
            if match:
                endings.setdefault(int(match[1]), set()).add(match[2])
    return endings


def names(directory: str) -> set[str]:
    """Names of all files of checkpoints."""
    return {f"ckpt-{step}{end}" for step, ends in _endings(directory).items() for end in ends}


def steps_with_files(directory: str) -> set[int]:
    """Steps that have a file, whole or damaged, without saves that were cut off."""
    return {
        step
        for step, endings in _endings(directory).items()
        if ".writing" not in endings and endings != {"_temp"}
    }


def complete_steps(directory: str) -> set[int]:
    """Steps of which no file is missing."""
    endings = _endings(directory)
    return {
        step
        for step in steps_with_files(directory)
        if {".index", ".sha256"} <= endings[step]
        and any(ending.startswith(".data-") for ending in endings[step])
    }


def pointed_steps(directory: str) -> set[int]:
    """Steps that TensorFlow's pointer file lists, as far as it can be read."""
    try:
        pointer = read_file(os.path.join(directory, POINTER))
        return {int(step) for step in _LISTED.findall(pointer)}
    except OSError:
        return set()


def known_steps(directory: str) -> list[int]:
    """Steps of all checkpoints that were ever completed and not removed, newest first."""
    cut_off = _endings(directory).keys() - steps_with_files(directory)
    return sorted((steps_with_files(directory) | pointed_steps(directory)) - cut_off, reverse=True)


def damage(directory: str, step: int) -> str | None:
    """What is wrong with a checkpoint, None if every byte of it is as it was written."""
    hashes = os.path.join(directory, f"ckpt-{step}.sha256")
    names = {
        f"ckpt-{step}{ending}"
        for ending in _endings(directory).get(step, set())
        if ending.startswith((".index", ".data-"))
    }
    try:
        lines = read_file(hashes).decode("ascii").splitlines(keepends=True)
        matches = [_HASH_LINE.fullmatch(line) for line in lines]
        if not all(matches) or f"ckpt-{step}.index" not in {match[2] for match in matches if match}:
            return f"ckpt-{step}.sha256 is damaged"
        expected = {match[2]: match[1] for match in matches if match}
        if expected.keys() != names:
            return f"{min(expected.keys() ^ names)} is missing or not of this checkpoint"
        changed = [name for name in sorted(names) if _sha256(directory, name) != expected[name]]
    except FileNotFoundError as error:
        return f"{os.path.basename(error.filename)} is missing"
    except (OSError, UnicodeDecodeError) as error:
        return f"it cannot be read ({error})"
    return f"{changed[0]} is not what was written (its SHA-256 differs)" if changed else None


def _sha256(directory: str, name: str) -> str:
    descriptor = open_regular(os.path.join(directory, name), os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def begin(directory: str, step: int) -> None:
    """Mark that a save of this step is under way."""
    remove(directory, step)
    mark = os.path.join(directory, f"ckpt-{step}.writing")  # Its name says it all.
    os.close(open_regular(mark, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    sync_directory(directory)


def commit(directory: str, step: int) -> None:
    """Make the files of a step durable, then say so: from here on it is a checkpoint."""
    endings = _endings(directory)[step] - {".writing", "_temp"}
    names = [f"ckpt-{step}{ending}" for ending in sorted(endings)]
    for name in names:
        sync_file(os.path.join(directory, name))
    sync_directory(directory)
    lines = [f"{_sha256(directory, name)}  {name}\n" for name in names]
    mark = os.path.join(directory, f"ckpt-{step}")
    write_durably(f"{mark}.writing", "".join(lines).encode())
    os.replace(f"{mark}.writing", f"{mark}.sha256")
    sync_directory(directory)


def remove(directory: str, step: int) -> None:
    """Remove the files of a step; the mark of a save under way goes last."""
    _remove(directory, step, _endings(directory).get(step, set()))


def _remove(directory: str, step: int, endings: set[str]) -> None:
    for ending in sorted(endings, key=lambda text: text == ".writing"):
        path = os.path.join(directory, f"ckpt-{step}{ending}")
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            remove_file(path)


def remove_cut_off_saves(directory: str) -> None:
    """Remove what saves that a kill or an error cut off have left."""
    for step, endings in _endings(directory).items():
        if ".writing" in endings or endings == {"_temp"}:
            remove(directory, step)
        elif "_temp" in endings:
            _remove(directory, step, {"_temp"})
    remove_leftovers(directory, POINTER)
    for name in os.listdir(directory):  # TensorFlow's own.
        if name.startswith(f"{POINTER}.tmp"):
            remove_file(os.path.join(directory, name))


def write_pointer(directory: str, steps: list[int]) -> None:
    """Write TensorFlow's pointer file, as a CheckpointManager that made these steps would."""
    path = os.path.join(directory, POINTER)
    if not steps:
        remove_file(path)
        return
    lines = [f'model_checkpoint_path: "ckpt-{steps[-1]}"']
    lines += [f'all_model_checkpoint_paths: "ckpt-{step}"' for step in steps]
    # The manager forgets a checkpoint that is not younger than `last_preserved_timestamp`.
    lines += [f"all_model_checkpoint_timestamps: {rank}.0" for rank in range(1, len(steps) + 1)]
    lines += ["last_preserved_timestamp: 0.0", ""]
    write_atomically(path, "\n".join(lines).encode())
