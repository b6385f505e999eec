"""Which folder is a class, and which of its files are its pictures: the same wherever it is read.

bear/0.png                          a picture of bear
bear/images/0.png                   too, and whatever else is below a folder that has pictures
bear/left/0.png, bear/right/0.png   and none in bear itself: nobody knows, so it is refused
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from meta_shrink.errors import DataError, first_names
from meta_shrink.images.file_tree import FileTree
from meta_shrink.images.pictures import ENDINGS

Listing = dict[str, list[str]]  # Class -> names of its pictures.


class NotAClass(DataError):
    """A folder whose pictures stand in several folders: is it one class, or are they?"""


def is_picture(name: str) -> bool:
    """Whether a name ends as those of pictures that can be read."""
    return name.lower().endswith(ENDINGS)


def class_name(text: str) -> str:
    """A name of a class in the one spelling of its letters (NFC): a file system may have another.

    Raises:
      DataError: it is no text.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"the name {text!r} is no UTF-8: rename it.") from None
    return unicodedata.normalize("NFC", text)


def class_folders(tree: FileTree) -> Listing:
    """The classes that stand directly in a tree, also those without a picture.

    Two folders whose names differ in their spelling only are one class.

    Raises:
      NotAClass, DataError: see the module's docstring; a name that is no text.
    """
    files: dict[str, list[str]] = {}
    for name in tree.names:
        folder, slash, rest = name.partition("/")
        if slash:
            files.setdefault(folder, []).append(rest)
    found: Listing = {}
    for folder in sorted(files):
        pictures = _pictures(files[folder], f"{folder} of {tree.path}")
        found.setdefault(class_name(folder), []).extend(f"{folder}/{rest}" for rest in pictures)
    return found


def _pictures(names: Iterable[str], where: str) -> list[str]:
    """Of the files below a folder."""
    pictures = [name for name in names if is_picture(name)]
    if any("/" not in name for name in pictures):
        return pictures
    folders = sorted({name.split("/")[0] for name in pictures})
    if len(folders) > 1:
        raise NotAClass(
            f"{where} has no pictures itself, but {len(folders)} folders of them, {folders[0]} and "
            f"{folders[1]}: if they are classes, move them up; if it is one, put them together."
        )
    inner = [name.partition("/")[2] for name in pictures]
    return [f"{folders[0]}/{name}" for name in _pictures(inner, where)] if inner else []


def left_out(tree: FileTree, used: Iterable[str]) -> str:
    """A sentence that counts and names the files that were not read, "" if there are none."""
    known = set(used)
    names = [name for name in tree.names if not name.endswith("/") and name not in known]
    if not names:
        return ""
    kinds = Counter(_kind(name) for name in names)
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    one = len(names) == 1
    return (
        f"{len(names)} {'file' if one else 'files'} of {tree.path} {'is' if one else 'are'} left "
        f"out ({listed}): {first_names(names)}. Pictures are {' '.join(ENDINGS)} in folders of "
        "classes."
    )


def _kind(name: str) -> str:
    base = name.rsplit("/", 1)[-1]
    return f".{base.rsplit('.', 1)[1].lower()}" if "." in base else "without an ending"


def pictures_of(listings: Iterable[Mapping[str, list[str]]]) -> list[str]:
    """All names of some listings."""
    return [name for listing in listings for names in listing.values() for name in names]
