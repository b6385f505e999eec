"""Photographs by split and class, in the forms in which people keep miniImageNet."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np

from meta_shrink.errors import DataError
from meta_shrink.images import array_forms
from meta_shrink.images.classes import ImageClasses
from meta_shrink.images.file_tree import FileTree, folder_tree, zip_tree
from meta_shrink.images.npz_file import read_npz
from meta_shrink.images.picture_forms import SPLITS, csv_splits, folder_splits
from meta_shrink.images.pictures import check_options, resize_all

PREPARED = "images.npz"
FORMS = (
    "train.csv, val.csv and test.csv (filename,label) with images/; train/<class>/*.jpg, val/ and "
    "test/; either of them in one ZIP file; mini-imagenet-cache-{train,val,test}.pkl; "
    "miniImageNet_category_split_{train_phase_train,val,test}.pickle; {train,val,test}.npz with "
    "image_data and labels; images.npz of launch.prepare_data"
)

Reader = Callable[..., dict[str, ImageClasses]]


def load_image_folder(
    path: str, *, image_size: int = 84, interpolation: str = "lanczos"
) -> dict[str, ImageClasses]:
    """The splits "train", "val" and "test" of a folder, a ZIP file or an NPZ file; uint8 RGB.

    Classes are sorted by name and their images by file name (arrays: in the order of their rows),
    so every form of the same files gives the same arrays. Labels that are numbers and recur in
    another split are taken as counted anew in each split, "train/0" and "test/0".

    Args:
      path: of one of FORMS; a look at the files says which.
      image_size: side S; the aspect of pictures is not kept, nor EXIF applied, as in the public
        pipelines.
      interpolation: lanczos (what MAML and Ravi & Larochelle use), bilinear, box or nearest, of
        images that have another size.

    Raises:
      DataError: nothing is there, or of no known form; a file is missing, damaged or unsafe; a
        class is empty or, by its name or by its images, in two splits.
    """
    check_options(image_size, interpolation)
    how = {"size": image_size, "interpolation": interpolation}
    if not os.path.exists(path):
        raise DataError(
            f"{path} does not exist: python -m launch.prepare_data images --from=IMAGES "
            f"--out={path} makes it."
        )
    if os.path.isdir(path):
        return _from_folder(path, how)
    if path.endswith(".npz"):
        return _prepared(path, how)
    if path.endswith(".zip"):
        return _from_zip(path, how)
    raise _unknown(path)


def _from_folder(path: str, how: Mapping) -> dict[str, ImageClasses]:
    tree = folder_tree(path)
    if PREPARED in tree.names:
        return _prepared(os.path.join(path, PREPARED), how)
    if reader := _reader(tree):
        return _without_leaks(reader(tree, **how), path)
    zips = [name for name in tree.names if name.endswith(".zip")]
    if len(zips) != 1:
        raise _unknown(path)
    return _from_zip(os.path.join(path, zips[0]), how)


def _reader(tree: FileTree) -> Reader | None:
    """The reader of the form that a tree looks like."""
    if any(f"{split}.csv" in tree.names for split in SPLITS):
        return csv_splits
    if array_forms.has_files(tree, array_forms.PICKLES):
        return array_forms.pickle_splits
    if array_forms.has_files(tree, array_forms.NPZ):
        return array_forms.npz_splits
    if any(name.startswith("train/") for name in tree.names):
        return folder_splits
    return None


def _from_zip(path: str, how: Mapping) -> dict[str, ImageClasses]:
    """Pictures in a ZIP file; arrays are not looked for in one."""
    with zip_tree(path) as tree:
        reader = _reader(tree)
        if reader is None or reader not in (csv_splits, folder_splits):
            raise _unknown(path)
        return _without_leaks(reader(tree, **how), path)


def _prepared(path: str, how: Mapping) -> dict[str, ImageClasses]:
    """Our own file; it was checked for leaks when it was written."""
    splits, _ = read_npz(path)
    if missing := set(SPLITS) - set(splits):
        raise DataError(f"{path} has no split {min(missing)}: it is no image folder's.")
    size = splits["train"].images.shape[1]
    if how["size"] > size:
        raise DataError(
            f"{path} has images of side {size}, and {how['size']} is asked for: prepare them "
            f"again with launch.prepare_data images --image_size={how['size']}."
        )
    return {
        split: splits[split]._replace(images=resize_all(splits[split].images, **how))
        for split in SPLITS
    }


def _unknown(path: str) -> DataError:
    return DataError(f"{path} has none of the known forms: {FORMS}.")


def _without_leaks(splits: dict[str, ImageClasses], path: str) -> dict[str, ImageClasses]:
    """Refuses a class that is in two splits, by its name or by half of its images.

    A few equal images are no leak: photographs stand twice in ImageNet.
    """
    for one, other in combinations(splits, 2):
        if names := set(splits[one].names) & set(splits[other].names):
            raise DataError(f"class {min(names)} of {path} is in {one} and in {other}: a leak.")
        if pair := _same_images(splits[one], splits[other]):
            raise DataError(
                f"class {pair[0]} of {one} and class {pair[1]} of {other} in {path} have the same "
                "images: a leak."
            )
    return splits


def _same_images(one: ImageClasses, other: ImageClasses) -> tuple[str, str] | None:
    """The first two classes that share at least half of the images of the first, if any."""
    home: dict[int, int] = {}
    for index in range(len(one.names)):
        home |= dict.fromkeys(map(_fingerprint, one.rows(index)), index)
    for index, name in enumerate(other.names):
        found = [home[key] for key in set(map(_fingerprint, other.rows(index))) if key in home]
        if found and np.bincount(found).max() * 2 >= other.count[index]:
            return one.names[np.bincount(found).argmax()], name
    return None


def _fingerprint(image: np.ndarray) -> int:
    return hash(image.tobytes())
