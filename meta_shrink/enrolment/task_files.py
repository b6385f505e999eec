"""The examples of one task: what a backbone takes, and reading them from files.

A task is one NPZ file with the arrays "targets" and the inputs by their names ("inputs" will do
where there is one), and optionally the same with "heldout_" in front; or, for classification of
images, one folder with a folder of pictures for each class.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.adapters.backbone_info import ArraySpec, BackboneInfo
from meta_shrink.errors import DataError
from meta_shrink.images.pictures import ENDINGS, decode_rgb
from meta_shrink.tasks.example_arrays import TARGETS, fitted, read_npz


class Examples(NamedTuple):
    """inputs: {name: [N, ...]}. targets: [N, ...]."""

    inputs: Mapping[str, np.ndarray]
    targets: np.ndarray


class TaskFiles(NamedTuple):
    """One task as read: its examples, the names of its classes, and a hash of all of it."""

    train: Examples
    heldout: Examples | None
    classes: tuple[str, ...]
    sha256: str


def read_task(path: str, info: BackboneInfo, *, num_heldout: int = 0) -> TaskFiles:
    """The examples in an NPZ file or in a folder of class folders.

    Args:
      info: of the backbone that will adapt them.
      num_heldout: of a folder, pictures of each class to keep for the held-out metric (the last
        ones by name).

    Raises:
      DataError: it is neither, damaged, or does not fit the backbone.
    """
    if os.path.isdir(path):
        train, heldout, classes = _read_folder(path, info, num_heldout)
    else:
        (train, heldout), classes = _read_npz(path, info), ()
    return TaskFiles(train, heldout, classes, _sha256(train, heldout))


def task_paths(path: str) -> dict[str, str]:
    """The tasks of a folder, {name: path} in the order of names; a task itself is one.

    Raises:
      DataError: there is no task.
    """
    if os.path.isfile(path) or _class_folders(path):
        name = os.path.basename(os.path.normpath(path)).removesuffix(".npz")
        return {name: path}
    entries = sorted(os.listdir(path)) if os.path.isdir(path) else []
    tasks = {
        entry.removesuffix(".npz"): os.path.join(path, entry)
        for entry in entries
        if entry.endswith(".npz") or _class_folders(os.path.join(path, entry))
    }
    if not tasks:
        raise DataError(
            f"{path} holds no task: expected NPZ files, or folders that hold a folder of pictures "
            "for each class."
        )
    return tasks


def _class_folders(path: str) -> list[str]:
    """Folders with pictures directly in a folder."""
    if not os.path.isdir(path):
        return []
    inside = (os.path.join(path, name) for name in sorted(os.listdir(path)))
    return [folder for folder in inside if os.path.isdir(folder) and _pictures(folder)]


def _pictures(folder: str) -> list[str]:
    names = sorted(os.listdir(folder))
    return [os.path.join(folder, n) for n in names if n.lower().endswith(ENDINGS)]


def _read_npz(path: str, info: BackboneInfo) -> tuple[Examples, Examples | None]:
    train, heldout = read_npz(path)
    held = fitted_examples(heldout, info, path) if heldout else None
    return fitted_examples(train, info, path), held


def _read_folder(path: str, info: BackboneInfo, num_heldout: int):
    """(train, heldout or None, class names) of class folders; classes in the order of names."""
    images = info.adaptation.get("images")
    if not images:
        raise DataError(f"{path} is a folder, and this backbone is not of images: give NPZ files.")
    folders = _class_folders(path)
    ways = info.outputs[0].shape[-1]
    if len(folders) != ways:
        raise DataError(f"{path} has {len(folders)} classes with pictures; expected {ways}.")
    parts: dict[bool, list[tuple[np.ndarray, int]]] = {False: [], True: []}
    for label, folder in enumerate(folders):
        files = _pictures(folder)
        if len(files) <= num_heldout:
            raise DataError(
                f"{folder} has {len(files)} pictures; {num_heldout} are to be held out, and at "
                "least one must be left."
            )
        for number, file in enumerate(files):
            parts[number >= len(files) - num_heldout].append((_read_picture(file, images), label))
    train = _stacked(parts[False], info, path)
    heldout = _stacked(parts[True], info, path) if parts[True] else None
    return train, heldout, tuple(map(os.path.basename, folders))


def _stacked(part: list[tuple[np.ndarray, int]], info: BackboneInfo, path: str) -> Examples:
    pictures = np.array([picture for picture, _ in part])
    labels = np.array([label for _, label in part], np.int32)
    return fitted_examples({info.inputs[0].name: pictures, TARGETS: labels}, info, path)


def _read_picture(path: str, images: Mapping[str, Any]) -> np.ndarray:
    """uint8 [S, S, C] as the backbone was trained on."""
    with open(path, "rb") as file:
        content = file.read()
    pixels = decode_rgb(content, path, size=images["size"], interpolation=images["interpolation"])
    if images["channels"] == 1:
        pixels = pixels.mean(axis=-1, keepdims=True).round().astype(np.uint8)
    return 255 - pixels if images["invert"] else pixels


def fitted_examples(
    arrays: Mapping[str, np.ndarray], info: BackboneInfo, where: str = "The task"
) -> Examples:
    """Arrays by name as the inputs and targets of a backbone (example_arrays.fitted).

    Raises:
      DataError: they do not fit; the message says what was expected.
    """
    targets = info.adaptation["targets"]
    spec = ArraySpec(TARGETS, tuple(targets["shape"]), targets["dtype"])
    labels = info.adaptation["loss"].get("name") == "cross_entropy"
    classes = (info.outputs[0].shape[-1] or 0) if labels else 0
    found = fitted(dict(arrays), (*info.inputs, spec), where, classes=classes)
    return Examples({k: v for k, v in found.items() if k != TARGETS}, found[TARGETS])


def check_examples(info: BackboneInfo, examples: Examples) -> None:
    """Check that examples fit the inputs and targets of a backbone.

    Raises:
      DataError: they do not; the message says what was expected.
    """
    fitted_examples({**examples.inputs, TARGETS: examples.targets}, info)


def _sha256(*parts: Examples | None) -> str:
    digest = hashlib.sha256()
    for examples in parts:
        for name, array in sorted((examples.inputs if examples else {}).items()):
            digest.update(f"{name}{array.shape}{array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(examples.targets.tobytes() if examples else b"none")
    return digest.hexdigest()
