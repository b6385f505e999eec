"""Splits kept as pictures: lists in three CSV files, or folders of classes."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from meta_shrink.errors import DataError
from meta_shrink.images.class_folders import (
    Listing,
    class_folders,
    class_name,
    left_out,
    pictures_of,
)
from meta_shrink.images.classes import ImageClasses, from_lists
from meta_shrink.images.file_tree import FileTree, inside
from meta_shrink.images.pictures import decode_rgb

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
Log = Callable[[str], object]


def csv_splits(tree: FileTree, *, log: Log, **how: Any) -> dict[str, ImageClasses]:
    """Ravi & Larochelle: images/<filename>, and train.csv, val.csv, test.csv with filename,label.

    Names are compared in one spelling of their letters (NFC). how: of `decode_rgb`.

    Raises:
      DataError: a list is missing or broken, names pictures that are not there, or one twice.
    """
    lists = {split: f"{split}.csv" for split in SPLITS} | split_lists(tree)
    there = set(tree.names)
    known = {unicodedata.normalize("NFC", name): name for name in tree.names}
    known |= {name: name for name in tree.names}  # A folder may have both spellings.

    def located(name: str) -> str:
        plain = unicodedata.normalize("NFC", name)
        spellings = (name, f"images/{name}", plain, f"images/{plain}")
        return next((known[n] for n in spellings if n in known), f"images/{name}")

    found = {
        split: {label: [located(name) for name in names] for label, names in listing.items()}
        for split, listing in ((split, _csv_listing(tree, lists[split])) for split in SPLITS)
    }
    # Of the files, not of what the lists call them: a file may go by several names.
    _require_once(found, tree.path)
    for split, listing in found.items():
        names = pictures_of([listing])
        if missing := [name for name in names if name not in there]:
            raise DataError(
                f"{split}.csv of {tree.path} names {len(missing)} of {len(names)} images that are "
                f"not there, {missing[0]} the first."
            )
    return _decode_all(tree, found, log, list(lists.values()), how)


def split_folders(tree: FileTree) -> dict[str, str]:
    """{split: its folder}, whatever its capitals.

    Raises:
      DataError: two folders of one split.
    """
    folders = {name.split("/")[0] for name in tree.names if "/" in name}
    return _of_splits(tree, folders, "", "folders")


def split_lists(tree: FileTree) -> dict[str, str]:
    """{split: its CSV file}, whatever its capitals; DataError as `split_folders`."""
    files = {name for name in tree.names if "/" not in name and name.lower().endswith(".csv")}
    return _of_splits(tree, files, ".csv", "lists")


def _of_splits(tree: FileTree, names: Iterable[str], ending: str, what: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in sorted(names):
        split = SPLIT_NAMES.get(name.casefold().removesuffix(ending))
        if split in found:
            raise DataError(
                f"{tree.path} has {found[split]} and {name}, two {what} of one split: join them."
            )
        if split is not None:
            found[split] = name
    return found


def folder_splits(tree: FileTree, *, log: Log, **how: Any) -> dict[str, ImageClasses]:
    """Folders of classes: train/<class>/*.jpg, and likewise val and test (`class_folders`).

    Raises:
      DataError: a split or all pictures of a class are missing.
    """
    folders, found = split_folders(tree), {}
    for split in SPLITS:
        folder = folders.get(split, split)
        classes = class_folders(inside(tree, folder))
        if not classes:
            raise DataError(
                f"{tree.path} has no folder {split}/<class>/ with files in it: a data set has the "
                "folders train, val and test, and in each other classes."
            )
        found[split] = {
            name: [f"{folder}/{picture}" for picture in pictures]
            for name, pictures in classes.items()
        }
    return _decode_all(tree, found, log, [], how)


def _csv_listing(tree: FileTree, name: str) -> Listing:
    if name not in tree.names:
        raise DataError(f"{tree.path} has no {name}; expected train.csv, val.csv and test.csv.")
    where, listing = f"{name} of {tree.path}", Listing()
    for line, filename, label in _csv_rows(tree.read(name), where):
        if not filename or not label.strip():
            raise DataError(f"{where} has a row without a filename or a label, line {line}.")
        if filename.startswith("/") or {"..", ""} & set(filename.replace("\\", "/").split("/")):
            raise DataError(f"{where}: {filename} leads out of the folder.")
        listing.setdefault(class_name(label.strip()), []).append(filename)
    if not listing:
        raise DataError(f"{where} lists no image.")
    return listing


def _csv_rows(content: bytes, where: str) -> Iterator[tuple[int, str, str]]:
    """(line, filename, label) of each row, which has as many fields as the header names."""
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        rows = csv.DictReader(text, strict=True, skipinitialspace=True)
        for row in rows:
            filename, label = row["filename"], row["label"]
            fields = [*row.values()]
            if None in row or None in fields or any("\n" in field for field in fields):
                raise DataError(
                    f"{where} has a row of more or fewer fields than its header, line "
                    f"{rows.line_num}: put names with commas in double quotes, and close them."
                )
            yield rows.line_num, filename, label
    except (KeyError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"{where} cannot be read ({error}); expected UTF-8 with the header filename,label."
        ) from error


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
    tree: FileTree,
    found: Mapping[str, Listing],
    log: Log,
    lists: Sequence[str],
    how: Mapping[str, Any],
) -> dict[str, ImageClasses]:
    """Classes sorted by name, their pictures by file name: no order of a listing or a CSV."""
    if sentence := left_out(tree, [*lists, *pictures_of(found.values())]):
        log(sentence)
    splits = {}
    for split, listing in found.items():
        names = sorted(listing)
        if empty := [name for name in names if not listing[name]]:
            raise DataError(f"class {empty[0]} of {split} in {tree.path} has no image.")
        images = [decode_class(tree, listing[name], how) for name in names]
        splits[split] = from_lists(images, names)
    return splits


def decode_class(tree: FileTree, names: Sequence[str], how: Mapping[str, Any]) -> np.ndarray:
    """uint8 [N, S, S, 3] of pictures, by file name. how: of `decode_rgb`."""
    return np.stack(
        [decode_rgb(tree.read(name), f"{name} of {tree.path}", **how) for name in sorted(names)]
    )
