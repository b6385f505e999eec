"""Splits kept as arrays: the pickles of Ren et al. and of MetaOptNet, and plain NPZ files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from meta_shrink.durable_files import open_file
from meta_shrink.errors import DataError
from meta_shrink.images.classes import ImageClasses, from_counts
from meta_shrink.images.file_tree import FileTree
from meta_shrink.images.npz_file import read_arrays
from meta_shrink.images.pictures import resize_all
from meta_shrink.images.plain_pickle import load_plain_pickle

# Ends of file names. MetaOptNet's other two train_phase files are more images of training classes.
PICKLES = {
    "train": ("cache-train.pkl", "category_split_train_phase_train.pickle"),
    "val": ("cache-val.pkl", "cache-validation.pkl", "category_split_val.pickle"),
    "test": ("cache-test.pkl", "category_split_test.pickle"),
}
NPZ = {split: (f"{split}.npz",) for split in PICKLES}

Label = str | int
Log = Callable[[str], object]
Rows = dict[Label, np.ndarray]  # Class -> numbers of its rows.


def has_files(tree: FileTree, endings: Mapping[str, Sequence[str]]) -> bool:
    """Whether a folder has a file of any split."""
    return any(_files(tree, ends) for ends in endings.values())


def pickle_splits(
    tree: FileTree, *, size: int, interpolation: str, log: Log
) -> dict[str, ImageClasses]:
    """Ren et al.: image_data and class_dict {class: rows}; MetaOptNet: data and labels.

    Raises:
      DataError: a split is missing, or a file is not what its name says.
    """
    from_pickle = partial(_from_pickle, log=log)
    read = {split: _read(tree, split, ends, from_pickle) for split, ends in PICKLES.items()}
    return _named(read, size, interpolation)


def npz_splits(
    tree: FileTree, *, size: int, interpolation: str, log: Log
) -> dict[str, ImageClasses]:
    """train.npz, val.npz and test.npz with image_data uint8 [N, H, W, C] and labels [N].

    Raises:
      DataError: as `pickle_splits`.
    """
    from_npz = partial(_from_npz, log=log)
    read = {split: _read(tree, split, ends, from_npz) for split, ends in NPZ.items()}
    return _named(read, size, interpolation)


def _files(tree: FileTree, endings: Sequence[str]) -> list[str]:
    return [name for name in tree.names if name.endswith(tuple(endings))]


def _read(
    tree: FileTree,
    split: str,
    endings: Sequence[str],
    read: Callable[[str], tuple[np.ndarray, Rows]],
) -> tuple[np.ndarray, Rows]:
    files = _files(tree, endings)
    if len(files) != 1:
        raise DataError(
            f"{tree.path} has {len(files)} files for the split {split}; expected one whose name "
            f"ends with {' or '.join(endings)}."
        )
    return read(os.path.join(tree.path, files[0]))


def _from_pickle(path: str, log: Log) -> tuple[np.ndarray, Rows]:
    value = load_plain_pickle(path)
    items = _named_items(value, path) if type(value) is dict else {}
    if {"image_data", "class_dict"} <= set(items):
        _tell_unread(set(items) - {"image_data", "class_dict"}, path, log)
        images = _images(items["image_data"], path)
        return images, _class_rows(items["class_dict"], len(images), path)
    if {"data", "labels"} <= set(items):
        _tell_unread(set(items) - {"data", "labels"}, path, log)
        images = _images(items["data"], path)
        return images, _label_rows(items["labels"], len(images), path)
    raise DataError(
        f"{path} holds no dict with image_data and class_dict, nor with data and labels."
    )


def _from_npz(path: str, log: Log) -> tuple[np.ndarray, Rows]:
    try:
        with open_file(path) as file:
            arrays = read_arrays(file, path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    if not {"image_data", "labels"} <= set(arrays):
        raise DataError(f"{path} has no arrays image_data and labels.")
    _tell_unread(set(arrays) - {"image_data", "labels"}, path, log)
    images = _images(arrays["image_data"], path)
    return images, _label_rows(arrays["labels"], len(images), path)


def _tell_unread(names: Iterable[Any], path: str, log: Log) -> None:
    if unread := sorted(map(str, names)):
        log(f"{path} also holds {', '.join(unread)}, which is not read.")


def _images(images: Any, path: str) -> np.ndarray:
    what = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else "no array"
    if not what.startswith("uint8") or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise DataError(
            f"images of {path} are {what}; expected uint8 [N, H, W, 3] or [N, H, W, 1]."
        )
    if not images.size:
        raise DataError(f"{path} has no images.")
    return images


def _class_rows(classes: Any, count: int, path: str) -> Rows:
    """Rows of each class out of {class: [row]}; every row in one class at most."""
    if type(classes) is not dict or not classes:
        raise DataError(f"class_dict of {path} is no dict of classes.")
    rows = {name: _integers(numbers, path) for name, numbers in _named_items(classes, path).items()}
    everything = np.concatenate(list(rows.values()))
    if not np.isin(everything, np.arange(count)).all():
        raise DataError(f"class_dict of {path} names rows outside of its {count} images.")
    if len(np.unique(everything)) != len(everything):
        raise DataError(f"class_dict of {path} gives an image to two classes or twice to one.")
    if missing := count - len(everything):
        raise DataError(f"class_dict of {path} gives {missing} of its {count} images no class.")
    return dict(rows)


def _named_items(items: dict[Any, Any], path: str) -> dict[Any, Any]:
    """Of a dict, by keys that are words where they are those of Python 2."""
    named = {_text(key): item for key, item in items.items()}
    if len(named) != len(items):
        raise DataError(f"{path} has a key twice, as bytes and as a word: keep one.")
    return named


def _label_rows(labels: Any, count: int, path: str) -> Rows:
    """Rows of each class out of one label per image, words or whole numbers."""
    array = _vector(labels)
    if len(array) != count or array.dtype.kind not in "iuU":
        raise DataError(f"labels of {path} are not {count} words or whole numbers.")
    values, inverse = np.unique(array, return_inverse=True)
    return {value: np.flatnonzero(inverse == i) for i, value in enumerate(values.tolist())}


def _integers(numbers: Any, path: str) -> np.ndarray:
    array = _vector(numbers)
    if not len(array) or array.dtype.kind not in "iu":
        raise DataError(f"class_dict of {path} has a class whose rows are no whole numbers.")
    return array.astype(np.int64)


def _vector(values: Any) -> np.ndarray:
    """A list or a vector of words or numbers as a vector, anything else as an empty one."""
    if type(values) in (list, tuple) and {type(value) for value in values} <= {int, str}:
        return np.asarray(values)
    is_vector = isinstance(values, np.ndarray) and values.ndim == 1
    return values if is_vector else np.array([])


def _text(key: Any) -> Any:
    """A key of Python 2 as a word."""
    return key.decode("latin-1") if type(key) is bytes else key


def _named(
    read: Mapping[str, tuple[np.ndarray, Rows]], size: int, interpolation: str
) -> dict[str, ImageClasses]:
    """Classes sorted by label. Numbers that recur in another split are counted per split."""
    seen: list[Label] = [label for _, rows in read.values() for label in rows]
    numbered = all(isinstance(label, int) for label in seen)
    per_split = numbered and len(set(seen)) != len(seen)
    splits = {}
    for split, (images, rows) in read.items():
        labels = sorted(rows) if numbered else sorted(rows, key=str)
        names = [f"{split}/{label}" if per_split else str(label) for label in labels]
        count = [len(rows[label]) for label in labels]
        chosen = _gathered(images, np.concatenate([rows[label] for label in labels]))
        splits[split] = from_counts(resize_all(chosen, size, interpolation), names, count)
    return splits


def _gathered(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of an array; the array itself where they are all, in order: a gigabyte less."""
    return images if np.array_equal(rows, np.arange(len(images))) else images[rows]
