"""Photographs by split and class, in the forms in which people keep miniImageNet."""

from __future__ import annotations

import os

from meta_shrink.errors import DataError
from meta_shrink.images.classes import ImageClasses
from meta_shrink.images.file_tree import FileTree, folder_tree, zip_tree
from meta_shrink.images.npz_file import read_npz
from meta_shrink.images.picture_forms import csv_splits, folder_splits
from meta_shrink.images.pictures import check_options


def load_image_folder(
    path: str, *, image_size: int = 84, interpolation: str = "lanczos"
) -> dict[str, ImageClasses]:
    """The splits "train", "val", "test"."""
    check_options(image_size, interpolation)
    how = {"size": image_size, "interpolation": interpolation}
    if path.endswith(".npz"):
        return read_npz(path)[0]
    if path.endswith(".zip"):
        with zip_tree(path) as tree:
            return _pictures(tree, how)
    tree = folder_tree(path)
    if "images.npz" in tree.names:
        return read_npz(os.path.join(path, "images.npz"))[0]
    zips = [name for name in tree.names if name.endswith(".zip")]
    if len(zips) == 1:
        return load_image_folder(os.path.join(path, zips[0]), image_size=image_size)
    return _pictures(tree, how)


def _pictures(tree: FileTree, how: dict) -> dict[str, ImageClasses]:
    if "train.csv" in tree.names:
        return csv_splits(tree, **how)
    if any(name.startswith("train/") for name in tree.names):
        return folder_splits(tree, **how)
    raise DataError("unrecognised")
