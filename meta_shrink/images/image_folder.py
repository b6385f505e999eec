"""Photographs by split and class, in the forms in which people keep miniImageNet."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from meta_shrink.errors import DataError
from meta_shrink.images import array_forms
from meta_shrink.images.class_folders import NotAClass, class_folders
from meta_shrink.images.classes import ImageClasses
from meta_shrink.images.file_tree import FileTree, folder_tree, inside, outer_folder, zip_tree
from meta_shrink.images.leaks import require_alike, without_leaks
from meta_shrink.images.npz_file import read_npz
from meta_shrink.images.picture_forms import (
    SPLIT_NAMES,
    SPLITS,
    csv_splits,
    folder_splits,
    split_folders,
    split_lists,
)
from meta_shrink.images.pictures import check_options, resize_all

PREPARED = "images.npz"
FORMS = (
    "train.csv, val.csv and test.csv (filename,label) with images/; train/<class>/*.jpg, val/ and "
    "test/; either of them in one ZIP file; train.zip, val.zip and test.zip; "
    "mini-imagenet-cache-{train,val,test}.pkl; "
    "miniImageNet_category_split_{train_phase_train,val,test}.pickle; {train,val,test}.npz with "
    "image_data and labels; images.npz of meta-shrink prepare-data"
)

Reader = Callable[..., dict[str, ImageClasses]]
Log = Callable[[str], object]


def load_image_folder(
    path: str,
    *,
    image_size: int = 84,
    interpolation: str = "lanczos",
    exif: bool = True,
    log: Log = print,
) -> dict[str, ImageClasses]:
    """The splits "train", "val" and "test" of a folder, a ZIP file or an NPZ file; uint8 RGB.

    Classes are sorted by name and their images by file name (arrays: in the order of their rows),
    so every form of the same files gives the same arrays. Labels that are numbers and recur in
    another split are taken as counted anew in each split, "train/0" and "test/0".

    Args:
      path: of one of FORMS; a look at the files says which.
      image_size: side S; the aspect of pictures is not kept, as in the public pipelines.
      interpolation: lanczos (what MAML and Ravi & Larochelle use), bilinear, box or nearest, of
        images that have another size.
      exif: turn pictures as EXIF says; the public pipelines do not.
      log: told what is left out.

    Raises:
      DataError: nothing is there, or of no known form; a file is missing, damaged or unsafe; a
        class is empty or, by its name or by its images, in two splits or twice in one; a split has
        pictures of another form.
    """
    check_options(image_size, interpolation)
    how = {"size": image_size, "interpolation": interpolation, "exif": exif, "log": log}
    if not os.path.exists(path):
        raise DataError(
            f"{path} does not exist: meta-shrink prepare-data images --from=IMAGES "
            f"--out={path} makes it."
        )
    splits = _loaded(path, how)
    require_alike(splits, path)
    return splits


def _loaded(path: str, how: Mapping[str, Any]) -> dict[str, ImageClasses]:
    if os.path.isdir(path):
        return _from_folder(path, how)
    if path.endswith(".npz"):
        return _prepared(path, how)
    if path.lower().endswith(".zip"):
        return _from_zips([path], how)
    raise _unknown(path)


def _from_folder(path: str, how: Mapping[str, Any]) -> dict[str, ImageClasses]:
    tree = folder_tree(path)
    if PREPARED in tree.names:
        return _prepared(os.path.join(path, PREPARED), how)
    if found := _recognised(tree):
        reader, tree = found
        return without_leaks(reader(tree, **_known_to(reader, how)), path)
    zips = [os.path.join(path, name) for name in tree.names if name.lower().endswith(".zip")]
    if len(zips) == 1 or any(_split_of(name) for name in zips):
        return _from_zips(zips, how)
    raise _unknown(path, tree)


def _recognised(tree: FileTree) -> tuple[Reader, FileTree] | None:
    """The reader of the form that a tree looks like, and the tree inside of outer folders."""
    while True:
        if reader := _reader(tree):
            return reader, tree
        if (outer := outer_folder(tree)) is None:
            return None
        tree = inside(tree, outer)


def _reader(tree: FileTree) -> Reader | None:
    if split_lists(tree):
        return csv_splits
    if array_forms.has_files(tree, array_forms.PICKLES):
        return array_forms.pickle_splits
    if array_forms.has_files(tree, array_forms.NPZ):
        return array_forms.npz_splits
    return folder_splits if split_folders(tree) else None


def _known_to(reader: Reader, how: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays have no EXIF."""
    if reader in (csv_splits, folder_splits):
        return dict(how)
    return {name: value for name, value in how.items() if name != "exif"}


def _from_zips(paths: Sequence[str], how: Mapping[str, Any]) -> dict[str, ImageClasses]:
    """Pictures in one ZIP file, or in one for each split; arrays are not looked for in them."""
    with ExitStack() as stack:
        trees = {path: stack.enter_context(zip_tree(path)) for path in paths}
        where, tree = paths[0], trees[paths[0]]
        if len(paths) > 1:
            where = os.path.dirname(paths[0])
            tree = _joined(where, trees)
        reader, tree = _recognised(tree) or (None, tree)
        if reader is None or reader not in (csv_splits, folder_splits):
            raise _unknown(where, tree)
        return without_leaks(reader(tree, **how), where)


def _split_of(path: str) -> str | None:
    """The split that the last word of a file's name says: mini_Train.zip."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return SPLIT_NAMES.get(re.split(r"[-_. ]", stem)[-1].casefold())


def _joined(path: str, trees: Mapping[str, FileTree]) -> FileTree:
    """ZIP files of one split each, as one tree of folders of splits."""
    found: dict[str, FileTree] = {}
    for name, tree in trees.items():
        split = _split_of(name)
        if split is None or split in found:
            raise DataError(
                f"{name} is not the ZIP file of another split than the rest: expected train.zip, "
                f"val.zip and test.zip in {path}, or one ZIP file with all."
            )
        found[split] = _split_tree(tree, name)
    names = {f"{split}/{name}": (split, name) for split in found for name in found[split].names}

    def read(name: str) -> bytes:
        split, inner = names[name]
        return found[split].read(inner)

    return FileTree(path, tuple(sorted(names)), read)


def _split_tree(tree: FileTree, path: str) -> FileTree:
    """Without the folders around its classes."""
    stem = os.path.splitext(os.path.basename(path))[0].casefold()
    while (outer := outer_folder(tree)) is not None:
        named = outer.casefold() in (stem, *SPLIT_NAMES)
        if not named and class_folders_at(tree):
            break
        tree = inside(tree, outer)
    return tree


def class_folders_at(tree: FileTree) -> bool:
    """Whether the folders of a tree are classes of pictures."""
    try:
        return any(class_folders(tree).values())
    except NotAClass:
        return False


def _prepared(path: str, how: Mapping[str, Any]) -> dict[str, ImageClasses]:
    """Our own file; it was checked for leaks when it was written."""
    splits, settings = read_npz(path)
    if missing := set(SPLITS) - set(splits):
        raise DataError(f"{path} has no split {min(missing)}: it is no image folder's.")
    made = {"exif": False, "interpolation": how["interpolation"], **settings}
    for key in ("exif", "interpolation"):
        if made[key] != how[key]:
            raise DataError(
                f"{path} was prepared with {key}={made[key]}, and task.{key} is {how[key]}: "
                "prepare it again with meta-shrink prepare-data images, or change the key."
            )
    size = splits["train"].images.shape[1]
    resizing = {"size": how["size"], "interpolation": how["interpolation"]}
    if how["size"] > size:
        raise DataError(
            f"{path} has images of side {size}, and {how['size']} is asked for: prepare them "
            f"again with meta-shrink prepare-data images --image_size={how['size']}."
        )
    return {
        split: splits[split]._replace(images=resize_all(splits[split].images, **resizing))
        for split in SPLITS
    }


def _unknown(path: str, tree: FileTree | None = None) -> DataError:
    if tree is not None and class_folders_at(tree):
        count = sum(map(bool, class_folders(tree).values()))
        return DataError(
            f"{path} has none of the known forms: it has {count} folders of pictures and no train, "
            "val and test. Make these three folders, and move each class into one of them."
        )
    return DataError(f"{path} has none of the known forms: {FORMS}.")
