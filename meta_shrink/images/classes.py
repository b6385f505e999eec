"""Images sorted by class, and an order of classes that is the same on every machine."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from meta_shrink.errors import DataError


class ImageClasses(NamedTuple):
    """Images of some classes.

    images: uint8 [N, S, S, C]; the images of a class are neighbours.
    names: one per class, all different.
    first, count: int32 [classes]; class i is images[first[i] : first[i] + count[i]].
    groups: per class; the alphabet of an Omniglot character, "" elsewhere.
    """

    images: np.ndarray
    names: tuple[str, ...]
    first: np.ndarray
    count: np.ndarray
    groups: tuple[str, ...]

    def rows(self, index: int) -> np.ndarray:
        """The images of one class, a view."""
        return self.images[self.first[index] : self.first[index] + self.count[index]]


def from_counts(
    images: np.ndarray, names: Sequence[str], count: Sequence[int], groups: Sequence[str] = ()
) -> ImageClasses:
    """Classes whose images stand one class after the other in an array.

    Raises:
      DataError: a name twice, or numbers and shapes that do not belong together.
    """
    counts = np.asarray(count, np.int32).reshape(-1)
    names = [unicodedata.normalize("NFC", name) for name in names]
    groups = tuple(groups) or ("",) * len(names)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2]:
        raise DataError(
            f"images got {images.dtype} {list(images.shape)}; expected uint8 [N, size, size, C]."
        )
    if not len(names) == len(counts) == len(groups) or counts.sum() != len(images):
        raise DataError(
            f"classes got {len(names)} names, {len(counts)} counts with the sum {counts.sum()}, "
            f"{len(groups)} groups and {len(images)} images, which do not belong together."
        )
    if len(set(names)) != len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise DataError(f"class {twice} stands twice in the list of classes.")
    first = np.cumsum(counts, dtype=np.int32) - counts
    return ImageClasses(images, tuple(names), first, counts, groups)


def from_lists(
    images: Sequence[np.ndarray], names: Sequence[str], groups: Sequence[str] = ()
) -> ImageClasses:
    """Classes from one array uint8 [n, S, S, C] per class.

    Raises:
      DataError: as `from_counts`, or classes whose images differ in size.
    """
    shapes = {array.shape[1:] for array in images}
    if len(shapes) != 1:
        raise DataError(f"images got the shapes {sorted(shapes)}; expected one for all classes.")
    count = [len(array) for array in images]
    return from_counts(np.concatenate(list(images)), names, count, groups)


def subset(classes: ImageClasses, names: Sequence[str]) -> ImageClasses:
    """The classes of these names, in this order; the images are copied.

    Raises:
      DataError: there is no class of a name, or no name.
    """
    index = {name: i for i, name in enumerate(classes.names)}
    if not names or any(name not in index for name in names):
        missing = next((name for name in names if name not in index), "(none named)")
        raise DataError(f"class {missing} is not one of the {len(index)} classes of the data.")
    chosen = [index[name] for name in names]
    groups = [classes.groups[i] for i in chosen]
    return from_lists([classes.rows(i) for i in chosen], names, groups)


def require_images(
    pool: ImageClasses, least: int, *, what: str = "data set", classes: int = 1
) -> None:
    """Refuses a pool with fewer classes than this, or a class with fewer than `least` images.

    Raises:
      DataError: it is so; says which class.
    """
    if len(pool.names) < classes:
        raise DataError(f"{what} has {len(pool.names)} classes, task needs {classes}.")
    for name, count in zip(pool.names, pool.count, strict=True):
        if count < least:
            raise DataError(f"class {name} of {what} has {count} images, task needs {least}.")


def hash_order(names: Iterable[str], salt: str = "0") -> list[str]:
    """Names sorted by the SHA-256 of "salt/name": fixed, whatever order or machine they come from.

    A shuffle that depends on nothing else: neither on the order of a directory listing nor on a
    random generator. Adding a name moves no other past its neighbours.
    """

    def digest(name: str) -> bytes:
        # A file's name may hold bytes that are no text.
        return hashlib.sha256(f"{salt}/{name}".encode("utf-8", "surrogatepass")).digest()

    return sorted(names, key=digest)
