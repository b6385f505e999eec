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

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.errors import DataError
from meta_shrink.images.npz_file import NPZ_ERRORS
from meta_shrink.images.pictures import ENDINGS, decode_rgb

HELDOUT = "heldout_"


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
    for examples in (train, heldout):
        if examples is not None:
            check_examples(info, examples, path)
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
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except NPZ_ERRORS as error:
        raise DataError(f"{path} can not be read as NPZ ({error}).") from error
    train = {k: v for k, v in arrays.items() if not k.startswith(HELDOUT)}
    heldout = {k.removeprefix(HELDOUT): v for k, v in arrays.items() if k.startswith(HELDOUT)}
    return _examples(train, info, path), _examples(heldout, info, path) if heldout else None


def _examples(arrays: dict[str, Any], info: BackboneInfo, path: str) -> Examples:
    if "targets" not in arrays:
        raise DataError(f"{path} has no array 'targets'; it has {', '.join(arrays) or 'none'}.")
    if len(info.inputs) == 1 and "inputs" in arrays:
        arrays[info.inputs[0].name] = arrays.pop("inputs")
    return Examples({k: v for k, v in arrays.items() if k != "targets"}, arrays["targets"])


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
    train, heldout = (_stacked(part, info) for part in parts.values())
    return train, heldout if parts[True] else None, tuple(map(os.path.basename, folders))


def _stacked(part: list[tuple[np.ndarray, int]], info: BackboneInfo) -> Examples:
    pictures = np.array([picture for picture, _ in part])
    labels = np.array([label for _, label in part], info.adaptation["targets"]["dtype"])
    return Examples({info.inputs[0].name: pictures}, labels)


def _read_picture(path: str, images: Mapping[str, Any]) -> np.ndarray:
    """uint8 [S, S, C] as the backbone was trained on."""
    with open(path, "rb") as file:
        content = file.read()
    pixels = decode_rgb(content, path, size=images["size"], interpolation=images["interpolation"])
    if images["channels"] == 1:
        pixels = pixels.mean(axis=-1, keepdims=True).round().astype(np.uint8)
    return 255 - pixels if images["invert"] else pixels


def check_examples(info: BackboneInfo, examples: Examples, where: str = "The task") -> None:
    """Check that examples fit the inputs and targets of a backbone.

    Raises:
      DataError: they do not; the message says what was expected.
    """
    targets = info.adaptation["targets"]
    specs = {spec.name: (spec.shape, spec.dtype) for spec in info.inputs}
    specs["targets"] = (tuple(targets["shape"]), targets["dtype"])
    arrays = {**examples.inputs, "targets": examples.targets}
    if arrays.keys() != specs.keys():
        raise DataError(
            f"{where} has {', '.join(sorted(arrays))}; the backbone takes "
            f"{', '.join(sorted(specs))}."
        )
    count = len(examples.targets)
    for name, (shape, dtype) in specs.items():
        array = arrays[name]
        fits = array.ndim == len(shape) + 1 and all(
            size in (None, given) for size, given in zip(shape, array.shape[1:], strict=True)
        )
        if not fits or len(array) != count or not count:
            raise DataError(
                f"{where}: {name} has shape {list(array.shape)}; the backbone takes [N, "
                f"{', '.join(str(size or 'any') for size in shape)}] with one N >= 1 for all."
            )
        if not np.can_cast(array.dtype, dtype, "same_kind") or not np.isfinite(array).all():
            raise DataError(
                f"{where}: {name} holds {array.dtype} numbers, not all of them finite or of a kind "
                f"that becomes {dtype}."
            )
    _check_labels(info, examples.targets, where)


def _check_labels(info: BackboneInfo, targets: np.ndarray, where: str) -> None:
    """Labels of classes that the backbone has."""
    if info.adaptation["loss"].get("name") != "cross_entropy":
        return
    ways = info.outputs[0].shape[-1] or 0
    if not 0 <= targets.min() <= targets.max() < ways:
        raise DataError(
            f"{where}: targets are from {targets.min()} to {targets.max()}; the backbone has "
            f"{ways} classes, 0 to {ways - 1}."
        )


def _sha256(*parts: Examples | None) -> str:
    digest = hashlib.sha256()
    for examples in parts:
        for name, array in sorted((examples.inputs if examples else {}).items()):
            digest.update(f"{name}{array.shape}{array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(examples.targets.tobytes() if examples else b"none")
    return digest.hexdigest()
