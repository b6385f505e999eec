"""The examples of one task: what a backbone takes, and reading them from files.

A task is one NPZ file with the arrays "targets" and the inputs by their names ("inputs" will do
where there is one), and optionally the same with "heldout_" in front; or, for classification of
images, one folder with a folder of pictures for each class.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.recipe import TARGET_WEIGHTS
from meta_shrink.errors import DataError, first_names
from meta_shrink.images.class_folders import NotAClass, class_folders, left_out, pictures_of
from meta_shrink.images.file_tree import FileTree, folder_tree
from meta_shrink.images.picture_forms import decode_class
from meta_shrink.tasks.example_arrays import NPZ, TARGETS, fitted, read_npz
from meta_shrink.tasks.user_tasks import task_examples
from meta_shrink.types import Pictures

Log = Callable[[str], Any]


class Examples(NamedTuple):
    """inputs: {name: [N, ...]}. targets: [N, ...], or by name where they are several arrays."""

    inputs: Mapping[str, np.ndarray]
    targets: np.ndarray | Mapping[str, np.ndarray]

    @property
    def named_targets(self) -> dict[str, np.ndarray]:
        """The targets by the names that files and signatures have."""
        if isinstance(self.targets, Mapping):
            return dict(self.targets)
        return {"targets": self.targets}

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        return {**self.inputs, **self.named_targets}

    @property
    def count(self) -> int:
        """N."""
        return len(next(iter(self.named_targets.values())))


class TaskFiles(NamedTuple):
    """One task as read: its examples, the names of its classes, and a hash of all of it."""

    train: Examples
    heldout: Examples | None
    classes: tuple[str, ...]
    sha256: str


def read_task(
    path: str, info: BackboneInfo, *, num_heldout: int = 0, log: Log = print
) -> TaskFiles:
    """The examples in an NPZ file or in a folder of class folders.

    Args:
      info: of the backbone that will adapt them.
      num_heldout: of a folder, pictures of each class to keep for the held-out metric (the last
        ones by name).
      log: told what is left out.

    Raises:
      DataError: it is neither, damaged, or does not fit the backbone, or num_heldout of a file.
    """
    if os.path.isdir(path):
        train, heldout, classes = _read_folder(path, info, num_heldout, log)
    elif num_heldout:
        raise DataError(
            f"num_heldout is {num_heldout}, but {path} is a file: what is held out of it are its "
            "arrays named heldout_; leave num_heldout out."
        )
    else:
        (train, heldout), classes = _read_npz(path, info), ()
    return TaskFiles(train, heldout, classes, _sha256(train, heldout))


def given_tasks(tasks: Mapping[Any, Any], info: BackboneInfo) -> dict[str, TaskFiles]:
    """Tasks that are in memory, {name: data} as user_tasks.task_examples takes them.

    Raises:
      DataError: a task that does not fit the backbone.
    """
    found = {}
    for name, (train, heldout) in task_examples(tasks, [s.name for s in info.inputs]).items():
        where = f"Task {name!r}"
        examples = fitted_examples(train, info, where)
        held = fitted_examples(heldout, info, f"{where}, held out") if heldout else None
        found[name] = TaskFiles(examples, held, (), _sha256(examples, held))
    return found


def task_paths(path: str, *, log: Log = print) -> dict[str, str]:
    """The tasks of a folder, {name: path} in the order of names; a task itself is one.

    log: told what is left out.

    Raises:
      DataError: there is no task, or no telling what is one.
    """
    if os.path.isfile(path):
        return {_task_name(path): path}
    names = folder_tree(path).names if os.path.isdir(path) else ()
    tops = sorted({name.split("/")[0] for name in names})
    kinds = {top: _kind_of(os.path.join(path, top)) for top in tops}
    tasks = [top for top in tops if kinds[top] == "task"]
    if classes := [top for top in tops if kinds[top] == "class"]:
        if tasks:
            raise DataError(
                f"{path} holds folders of one class, as {classes[0]}, beside tasks, as {tasks[0]}: "
                "a task has a folder of pictures for each class, and tasks stand in a folder of "
                "their own."
            )
        return {_task_name(path): path}
    if not tasks:
        raise DataError(
            f"{path} holds no task: expected NPZ files, or folders that hold a folder of pictures "
            "for each class."
        )
    if others := [top for top in tops if not kinds[top]]:
        told = first_names(others)
        log(f"{len(others)} of {len(tops)} entries of {path} are left out, being no task: {told}.")
    found = {_task_name(task): os.path.join(path, task) for task in tasks}
    if len(found) < len(tasks):
        raise DataError(
            f"{path} holds two tasks of one name, a folder and an NPZ file: rename one."
        )
    return found


def _task_name(path: str) -> str:
    name = os.path.basename(os.path.normpath(path))
    return name[: -len(NPZ)] if name.lower().endswith(NPZ) else name


def _kind_of(path: str) -> str:
    """ "task", "class" or "" of an entry in a folder."""
    if not os.path.isdir(path):
        return "task" if path.lower().endswith(NPZ) else ""
    tree = folder_tree(path)
    try:
        names = tuple(f"it/{name}" for name in tree.names)
        return "class" if any(class_folders(tree._replace(names=names)).values()) else ""
    except NotAClass:
        return "task"


def _read_npz(path: str, info: BackboneInfo) -> tuple[Examples, Examples | None]:
    train, heldout = read_npz(path, [*info.inputs, *info.adaptation.targets])
    held = fitted_examples(heldout, info, path) if heldout else None
    return fitted_examples(train, info, path), held


def _read_folder(path: str, info: BackboneInfo, num_heldout: int, log: Log):
    """(train, heldout or None, class names) of class folders; classes in the order of names."""
    if not info.adaptation.pictures:
        raise DataError(f"{path} is a folder, and this backbone is not of images: give NPZ files.")
    tree = folder_tree(path)
    listing = {name: sorted(names) for name, names in class_folders(tree).items() if names}
    if sentence := left_out(tree, pictures_of([listing])):
        log(sentence)
    ways = info.outputs[0].shape[-1]
    if len(listing) != ways:
        raise DataError(f"{path} has {len(listing)} classes with pictures; expected {ways}.")
    parts: dict[bool, list[tuple[np.ndarray, int]]] = {False: [], True: []}
    for label, name in enumerate(sorted(listing)):
        files = listing[name]
        if len(files) <= num_heldout:
            raise DataError(
                f"{name} of {path} has {len(files)} pictures; {num_heldout} are to be held out, "
                "and at least one must be left."
            )
        for number, picture in enumerate(_pictures(tree, files, info)):
            parts[number >= len(files) - num_heldout].append((picture, label))
    train = _stacked(parts[False], info, path)
    heldout = _stacked(parts[True], info, path) if parts[True] else None
    return train, heldout, tuple(sorted(listing))


def _stacked(part: list[tuple[np.ndarray, int]], info: BackboneInfo, path: str) -> Examples:
    pictures = np.array([picture for picture, _ in part])
    labels = np.array([label for _, label in part], np.int32)
    return fitted_examples({info.inputs[0].name: pictures, TARGETS: labels}, info, path)


def _pictures(tree: FileTree, names: Sequence[str], info: BackboneInfo) -> np.ndarray:
    """uint8 [N, S, S, C] as the backbone was trained on; an older one knows of no EXIF."""
    how = Pictures(**{"exif": False, **info.adaptation.pictures})
    pixels = decode_class(
        tree, names, {"size": how.size, "interpolation": how.interpolation, "exif": how.exif}
    )
    if how.channels == 1:
        pixels = pixels.mean(axis=-1, keepdims=True).round().astype(np.uint8)
    return 255 - pixels if how.invert else pixels


def fitted_examples(
    arrays: Mapping[str, np.ndarray], info: BackboneInfo, where: str = "The task"
) -> Examples:
    """Arrays by name as the inputs and targets of a backbone (example_arrays.fitted).

    Raises:
      DataError: they do not fit; the message says what was expected.
    """
    labels = str(info.adaptation.loss.get("name")).endswith("cross_entropy")
    specs = info.adaptation.targets
    alone = [spec.name for spec in specs] in ([TARGETS], [TARGETS, TARGET_WEIGHTS])
    classes = (info.outputs[0].shape[-1] or 0) if labels and alone else 0
    found = fitted(dict(arrays), [*info.inputs, *specs], where, classes=classes)
    targets = {spec.name: found.pop(spec.name) for spec in specs}
    if alone and TARGET_WEIGHTS in targets:
        _check_weights(targets[TARGET_WEIGHTS], where)
    return Examples(found, targets[TARGETS] if list(targets) == [TARGETS] else targets)


def _check_weights(weights: np.ndarray, where: str) -> None:
    if (weights < 0).any() or (weights.reshape(len(weights), -1).max(axis=1) == 0).any():
        raise DataError(
            f"{where}: {TARGET_WEIGHTS} has a number below 0, or an example of zeros; leave it out."
        )


def check_examples(info: BackboneInfo, examples: Examples) -> Examples:
    """The examples as a backbone's inputs and targets, in its types.

    Raises:
      DataError: they do not; the message says what was expected.
    """
    return fitted_examples(examples.arrays, info)


def _sha256(*parts: Examples | None) -> str:
    digest = hashlib.sha256()
    for examples in parts:
        for name, array in sorted((examples.arrays if examples else {}).items()):
            digest.update(f"{name}{array.shape}{array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(b"end" if examples else b"none")
    return digest.hexdigest()
