"""Omniglot through tensorflow-datasets: 1,623 characters of 50 alphabets, 20 drawings of each."""

from __future__ import annotations

import hashlib
import importlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from meta_shrink.errors import DataError, UsageError
from meta_shrink.images.classes import ImageClasses, from_lists, hash_order

CHARACTERS, INSTANCES = 1623, 20
TEST_ALPHABETS = 10
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}


def load_omniglot(
    data_dir: str,
    *,
    image_size: int = 28,
    interpolation: str = "lanczos",
    log: Callable[[str], object] = print,
) -> ImageClasses:
    """All characters, sorted by name; uint8 [32460, image_size, image_size, 1], ink 0 on 255."""
    if interpolation not in FILTERS:
        raise UsageError(f"interpolation is {interpolation!r}; expected {', '.join(FILTERS)}.")
    drawings: dict[tuple[str, int], list[np.ndarray]] = {}
    for alphabet, number, image in _examples(data_dir):
        drawings.setdefault((alphabet, number), []).append(image)
    keys = sorted(drawings)
    resized = [_resized(_fixed_order(drawings[key]), image_size, interpolation) for key in keys]
    names = [f"{alphabet}/character{number + 1:02d}" for alphabet, number in keys]
    return from_lists(resized, names, [alphabet for alphabet, _ in keys])


def _examples(data_dir: str) -> Iterator[tuple[str, int, np.ndarray]]:
    """(alphabet, number of the character from 0, uint8 [105, 105]) of every drawing."""
    tfds: Any = importlib.import_module("tensorflow_datasets")
    builder = tfds.builder("omniglot", data_dir=data_dir)
    alphabets = builder.info.features["alphabet"].names
    decoders = {"image": tfds.decode.SkipDecoding()}
    rows = builder.as_dataset(split="train+test", decoders=decoders).batch(1024)
    for batch in tfds.as_numpy(rows):
        for png, alphabet, number in zip(
            batch["image"], batch["alphabet"], batch["alphabet_char_id"], strict=True
        ):
            image = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
            yield alphabets[alphabet], int(number), image


def _fixed_order(images: list[np.ndarray]) -> list[np.ndarray]:
    return sorted(images, key=lambda image: hashlib.sha256(image.tobytes()).digest())


def _resized(images: list[np.ndarray], size: int, interpolation: str) -> np.ndarray:
    """uint8 [n, size, size, 1]."""
    resize = FILTERS[interpolation]
    resized = [np.asarray(Image.fromarray(x).resize((size, size), resize)) for x in images]
    return np.stack(resized)[..., np.newaxis]


def alphabet_split(
    classes: ImageClasses, *, num_train: int, salt: str = "0"
) -> dict[str, list[str]]:
    """Alphabets of the splits "train", "val", "test".

    Alphabets with at least 20 characters (46) in the order of their hashes: the first 10 are
    "test", the next num_train "train", the rest "val". So the test alphabets are the same for every
    num_train, and more training alphabets are fewer validation alphabets.
    """
    sizes = {group: classes.groups.count(group) for group in set(classes.groups)}
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
    others (1,100) "train".
    """
    order = hash_order(classes.names, salt)
    if num_val < 0 or num_test < 0 or num_val + num_test >= len(order):
        raise DataError(
            f"{len(order)} characters can not be split into {num_val} for validation, {num_test} "
            "for the test and some to train on."
        )
    rest = order[num_test:]
    return {"train": rest[num_val:], "val": rest[:num_val], "test": order[:num_test]}
