"""What no data set may have: classes in two splits, and splits that no one network takes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement

import numpy as np

from meta_shrink.errors import DataError
from meta_shrink.images.classes import ImageClasses


def require_alike(splits: Mapping[str, ImageClasses], path: str) -> None:
    """Refuses splits of pictures of another form than the first one's."""
    first, *others = splits
    for split in others:
        forms = [list(splits[name].images.shape[1:]) for name in (first, split)]
        if forms[0] != forms[1]:
            raise DataError(
                f"{path} has pictures of the form {forms[0]} (height, width, channels) in {first} "
                f"and {forms[1]} in {split}: make them alike."
            )


def without_leaks(splits: dict[str, ImageClasses], path: str) -> dict[str, ImageClasses]:
    """Refuses a class that is in two splits, by its name or by half of its images, or twice in one.

    A few equal images are no leak: photographs stand twice in ImageNet.
    """
    for one, other in combinations_with_replacement(splits, 2):
        names = set(splits[one].names) & set(splits[other].names)
        if names and one != other:
            raise DataError(f"class {min(names)} of {path} is in {one} and in {other}: a leak.")
        if pair := _same_images(splits[one], splits[other]):
            raise DataError(
                f"class {pair[0]} of {one} and class {pair[1]} of {other} in {path} have the same "
                f"images: {'a leak' if one != other else 'remove one of them'}."
            )
    return splits


def _same_images(one: ImageClasses, other: ImageClasses) -> tuple[str, str] | None:
    """The first two classes that share at least half of the images of the second, if any."""
    home: dict[int, int] = {}
    for index in range(len(one.names)):
        home |= dict.fromkeys(map(_fingerprint, one.rows(index)), index)
    for index, name in enumerate(other.names):
        found = [home[key] for key in set(map(_fingerprint, other.rows(index))) if key in home]
        found = [number for number in found if one.names[number] != name]
        if found and np.bincount(found).max() * 2 >= other.count[index]:
            return one.names[np.bincount(found).argmax()], name
    return None


def _fingerprint(image: np.ndarray) -> int:
    return hash(image.tobytes())
