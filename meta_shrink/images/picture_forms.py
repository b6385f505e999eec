"""Splits kept as pictures: lists in three CSV files, or folders of classes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np

from meta_shrink.errors import DataError
from meta_shrink.images.classes import ImageClasses, from_lists
from meta_shrink.images.file_tree import FileTree
from meta_shrink.images.pictures import ENDINGS, decode_rgb

SPLITS = ("train", "val", "test")
Listing = dict[str, list[str]]  # Class -> names of its pictures.


def csv_splits(tree: FileTree, *, size: int, interpolation: str) -> dict[str, ImageClasses]:
    """Ravi & Larochelle: images/<filename>, and train.csv, val.csv, test.csv with filename,label.

    Raises:
      DataError: a list is missing or broken, names pictures that are not there, or one twice.
    """
    listings = {split: _csv_listing(tree, f"{split}.csv") for split in SPLITS}
    _require_once(listings, tree.path)
    known = set(tree.names)

    def located(name: str) -> str:
        return name if name in known else f"images/{name}"

    found = {
        split: {label: [located(name) for name in names] for label, names in listing.items()}
        for split, listing in listings.items()
    }
    for split, listing in found.items():
        names = [name for names in listing.values() for name in names]
        if missing := [name for name in names if name not in known]:
            raise DataError(
                f"{split}.csv of {tree.path} names {len(missing)} of {len(names)} images that are "
                f"not there, {missing[0]} the first."
            )
    return _decode_all(tree, found, size, interpolation)


def folder_splits(tree: FileTree, *, size: int, interpolation: str) -> dict[str, ImageClasses]:
    """Folders of classes: train/<class>/*.jpg, and likewise val and test.

    Raises:
      DataError: a split or all pictures of a class are missing.
    """
    found: dict[str, Listing] = {split: {} for split in SPLITS}
    for name in tree.names:
        parts = name.split("/")
        if len(parts) == 3 and parts[0] in found:  # An empty class is there as "train/class/".
            pictures = found[parts[0]].setdefault(parts[1], [])
            if name.lower().endswith(ENDINGS):
                pictures.append(name)
    for split, listing in found.items():
        if not listing:
            raise DataError(f"{tree.path} has no folder {split}/<class>/ with files in it.")
    return _decode_all(tree, found, size, interpolation)


def _csv_listing(tree: FileTree, name: str) -> Listing:
    if name not in tree.names:
        raise DataError(f"{tree.path} has no {name}; expected train.csv, val.csv and test.csv.")
    try:
        rows = csv.DictReader(io.StringIO(tree.read(name).decode("utf-8-sig"), newline=""))
        pairs = [(row["filename"], row["label"]) for row in rows]
    except (KeyError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"{name} of {tree.path} cannot be read; expected UTF-8 with the header filename,label."
        ) from error
    if not pairs:
        raise DataError(f"{name} of {tree.path} lists no image.")
    listing: Listing = {}
    for filename, label in pairs:
        if not filename or not label:
            raise DataError(f"{name} of {tree.path} has a row without a filename or a label.")
        if filename.startswith("/") or {"..", ""} & set(filename.replace("\\", "/").split("/")):
            raise DataError(f"{name} of {tree.path}: {filename} leads out of the folder.")
        listing.setdefault(label, []).append(filename)
    return listing


def _require_once(listings: Mapping[str, Listing], path: str) -> None:
    """Refuses a picture that is listed twice: in two splits, in two classes or in one."""
    seen: dict[str, str] = {}
    for split, listing in listings.items():
        for label, names in listing.items():
            for name in names:
                where = f"class {label} of {split}.csv"
                if name in seen:
                    raise DataError(f"image {name} of {path} is in {seen[name]} and in {where}.")
                seen[name] = where


def _decode_all(
    tree: FileTree, found: Mapping[str, Listing], size: int, interpolation: str
) -> dict[str, ImageClasses]:
    """Classes sorted by name, their pictures by file name: no order of a listing or a CSV."""
    splits = {}
    for split, listing in found.items():
        names = sorted(listing)
        if empty := [name for name in names if not listing[name]]:
            raise DataError(f"class {empty[0]} of {split} in {tree.path} has no image.")
        images = [_decode_class(tree, sorted(listing[n]), size, interpolation) for n in names]
        splits[split] = from_lists(images, names)
    return splits


def _decode_class(
    tree: FileTree, names: Sequence[str], size: int, interpolation: str
) -> np.ndarray:
    how = {"size": size, "interpolation": interpolation}
    return np.stack(
        [decode_rgb(tree.read(name), f"{name} of {tree.path}", **how) for name in names]
    )
