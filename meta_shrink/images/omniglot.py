"""Omniglot through tensorflow-datasets: 1,623 characters of 50 alphabets, 20 drawings of each."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from meta_shrink.errors import DataError, UsageError
from meta_shrink.images.classes import ImageClasses, from_lists, hash_order
from meta_shrink.images.npz_file import read_npz, write_npz
from meta_shrink.images.optional import optional_module
from meta_shrink.images.pictures import check_options, resize
from meta_shrink.images.whole_files import only_maker_of

CHARACTERS, INSTANCES = 1623, 20
TEST_ALPHABETS = 10
CACHE = "omniglot_resized"

Log = Callable[[str], object]


def load_omniglot(
    data_dir: str, *, image_size: int = 28, interpolation: str = "lanczos", log: Log = print
) -> ImageClasses:
    """All characters of both of Lake's sets; uint8 [32460, S, S, 1], ink 0 on a background of 255.

    A class is "<Alphabet>/character<NN>" and its group the alphabet; classes are sorted by name.
    tensorflow-datasets shuffles and does not say who drew: the drawings of a class are in the
    order of the SHA-256 of their pixels. The first load takes 15 s and writes
    <data_dir>/omniglot_resized/<size>-<interpolation>.npz, which later ones read in a moment.

    Args:
      data_dir: of tensorflow-datasets; meta-shrink prepare-data fills it.
      image_size: side S; 105 as published.
      interpolation: lanczos, true grey levels; nearest, what public pipelines (Leap, MAML) have
        got, as Pillow turns every filter into it on 1-bit files; box; bilinear.
      log: told of caches that are damaged or cannot be written.

    Raises:
      DataError: there is no data set, or a damaged one.
      UsageError: an option is out of range, or tensorflow-datasets is missing.
    """
    check_options(image_size, interpolation)
    settings = {"image_size": image_size, "interpolation": interpolation}
    path = os.path.join(data_dir, CACHE, f"{image_size}-{interpolation}.npz")
    if classes := _cached(path, settings, log):
        return classes
    if not is_prepared(data_dir):
        raise DataError(
            f"There is no Omniglot in {data_dir}: run meta-shrink prepare-data omniglot "
            f"--from=FOLDER --out={data_dir}, or with --download where there is network."
        )
    with _lock_beside(path, log):
        # Another process may have made it meanwhile.
        if classes := _cached(path, settings, lambda _: None):
            return classes
        classes = _read(data_dir, image_size, interpolation)
        _save(path, classes, settings, log)
    return classes


def is_prepared(data_dir: str) -> bool:
    """Whether tensorflow-datasets has finished a data set there: it writes this file last."""
    pattern = os.path.join(glob.escape(data_dir), "omniglot", "[0-9]*", "dataset_info.json")
    return bool(glob.glob(pattern))


def _cached(path: str, settings: dict[str, Any], log: Log) -> ImageClasses | None:
    """The classes of a cache file, None if there is none or none that can be trusted."""
    if not os.path.exists(path):
        return None
    try:
        splits, written = read_npz(path)
    except DataError as error:
        log(f"{error} It is made again.")
        return None
    return splits.get("all") if written == settings else None


@contextlib.contextmanager
def _lock_beside(path: str, log: Log) -> Iterator[None]:
    """One process makes the cache and others wait for it; without a lock where none can be."""
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            stack.enter_context(only_maker_of(path))
        except OSError as error:
            log(f"{path} cannot be locked ({error.strerror}): Omniglot is read without it.")
        yield


def _save(path: str, classes: ImageClasses, settings: dict[str, Any], log: Log) -> None:
    try:
        write_npz(path, {"all": classes}, **settings)
    except OSError as error:
        log(f"{path} cannot be written ({error.strerror}): the next load is slow again.")


def _read(data_dir: str, size: int, interpolation: str) -> ImageClasses:
    drawings: dict[tuple[str, int], list[tuple[bytes, np.ndarray]]] = {}
    for alphabet, number, picture in _examples(data_dir):
        pair = hashlib.sha256(picture.tobytes()).digest(), resize(picture, size, interpolation)
        drawings.setdefault((alphabet, number), []).append(pair)
    keys = sorted(drawings)
    if len(keys) != CHARACTERS or any(len(pairs) != INSTANCES for pairs in drawings.values()):
        why = f"{len(keys)} characters, not {CHARACTERS} of {INSTANCES} drawings"
        raise DataError(_damaged(data_dir, why))
    ordered = [sorted(drawings[key], key=lambda pair: pair[0]) for key in keys]
    images = [np.stack([image for _, image in pairs])[..., np.newaxis] for pairs in ordered]
    names = [f"{alphabet}/character{number + 1:02d}" for alphabet, number in keys]
    return from_lists(images, names, [alphabet for alphabet, _ in keys])


def _examples(data_dir: str) -> Iterator[tuple[str, int, Any]]:
    """(alphabet, number of the character from 0, picture in grey levels) of every drawing."""
    tfds, pillow = optional_module("tensorflow_datasets"), optional_module("PIL.Image")
    try:
        builder = tfds.builder("omniglot", data_dir=data_dir)
        alphabets = builder.info.features["alphabet"].names
        decoders = {"image": tfds.decode.SkipDecoding()}
        batches = builder.as_dataset(split="train+test", decoders=decoders).batch(1024)
        for batch in tfds.as_numpy(batches):
            columns = (batch[name] for name in ("alphabet", "alphabet_char_id", "image"))
            for alphabet, number, png in zip(*columns, strict=True):
                yield alphabets[alphabet], int(number), pillow.open(io.BytesIO(png)).convert("L")
    except Exception as error:  # Files that are damaged fail in TensorFlow's and tfds's many ways.
        why = str(error).splitlines() or [""]
        raise DataError(_damaged(data_dir, f"{type(error).__name__}: {why[0]}")) from error


def _damaged(data_dir: str, why: str) -> str:
    return (
        f"Omniglot in {data_dir} is damaged ({why}): meta-shrink prepare-data omniglot "
        f"--out={data_dir} with --from=FOLDER or --download prepares it again."
    )


def alphabet_split(
    classes: ImageClasses, *, num_train: int, salt: str = "0"
) -> dict[str, list[str]]:
    """Alphabets of the splits "train", "val", "test".

    Alphabets with at least 20 characters (46) in the order of their hashes: the first 10 are
    "test", the next num_train "train", the rest "val". So the test alphabets are the same for every
    num_train, and more training alphabets are fewer validation alphabets.

    Raises:
      UsageError: num_train is not 1 to 36.
    """
    sizes = Counter(classes.groups)
    order = hash_order((group for group, size in sizes.items() if size >= INSTANCES), salt)
    rest = order[TEST_ALPHABETS:]
    if not 1 <= num_train <= len(rest):
        raise UsageError(f"num_train is {num_train}; expected 1 to {len(rest)} alphabets.")
    return {"train": rest[:num_train], "val": rest[num_train:], "test": order[:TEST_ALPHABETS]}


def character_split(
    classes: ImageClasses, *, salt: str = "0", num_val: int = 100, num_test: int = 423
) -> dict[str, list[str]]:
    """Characters of the splits "train", "val", "test", of all alphabets, for few-shot episodes.

    In the order of their hashes: the first num_test are "test", the next num_val "val", and all
    others (1,100) "train". One salt gives one split: whoever trains and whoever tests must use it.

    Raises:
      UsageError: nothing is left to train on.
    """
    order = hash_order(classes.names, salt)
    if min(num_val, num_test) < 0 or num_val + num_test >= len(order):
        raise UsageError(
            f"{len(order)} characters cannot be split into {num_val} for validation, {num_test} "
            "for the test and some to train on."
        )
    rest = order[num_test:]
    return {"train": rest[num_val:], "val": rest[:num_val], "test": order[:num_test]}
