"""Images for tests: small ones in every form, and the real Omniglot where its archives are."""

from __future__ import annotations

import csv
import io
import os
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meta_shrink.images.omniglot import is_prepared
from meta_shrink.images.prepare import prepare_omniglot

ROOT = Path(__file__).resolve().parent.parent
# Kept between runs and ignored by git: building the data set takes half a minute.
CACHE = ROOT / ".data_cache" / "omniglot_tfds"
SIZE, EACH = 6, 4
CLASSES = {"train": ("bear", "crow"), "val": ("dace",), "test": ("asp", "eel")}

Splits = dict[str, dict[str, np.ndarray]]  # split -> class -> uint8 [EACH, SIZE, SIZE, 3]


def published(name: str) -> Path:
    """A folder of the data sets as published; without it the test is skipped."""
    folder = Path(os.environ.get("META_SHRINK_DATA", ROOT.parent / "shared" / "data")) / name
    if not folder.is_dir():
        pytest.skip(f"needs the data set {name}: set META_SHRINK_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def omniglot_dir() -> str:
    """data_dir of the real Omniglot, prepared once for all test processes and runs."""
    if not is_prepared(str(CACHE)):
        prepare_omniglot(str(CACHE), source=str(published("omniglot")), log=lambda _: None)
    return str(CACHE)


def small_splits(seed: int = 0) -> Splits:
    rng = np.random.default_rng(seed)
    return {
        split: {
            name: rng.integers(0, 256, [EACH, SIZE, SIZE, 3]).astype(np.uint8) for name in names
        }
        for split, names in CLASSES.items()
    }


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def file_name(name: str, number: int) -> str:
    return f"{name}{number:08d}.jpg"  # A PNG inside, as some of ImageNet's are.


def csv_files(splits: Splits) -> dict[str, bytes]:
    """Name -> content of images/ and the three lists, whose rows are in no order."""
    files = {}
    for split, classes in splits.items():
        rows = []
        for name, images in classes.items():
            for number, image in enumerate(images):
                files[f"images/{file_name(name, number)}"] = png(image)
                rows.append((file_name(name, number), name))
        random.Random(split).shuffle(rows)
        text = io.StringIO()
        csv.writer(text).writerows([("filename", "label"), *rows])
        files[f"{split}.csv"] = text.getvalue().encode()
    return files


def folder_files(splits: Splits) -> dict[str, bytes]:
    """Name -> content of folders of classes."""
    return {
        f"{split}/{name}/{number}.png": png(image)
        for split, classes in splits.items()
        for name, images in classes.items()
        for number, image in enumerate(images)
    }


def pickle_files(splits: Splits, *, protocol: int = 2) -> dict[str, bytes]:
    """Name -> content of the pickles of Ren et al."""
    files = {}
    for split, classes in splits.items():
        starts = range(0, EACH * len(classes), EACH)
        rows = {name: list(range(s, s + EACH)) for name, s in zip(classes, starts, strict=True)}
        value = {"image_data": np.concatenate(list(classes.values())), "class_dict": rows}
        files[f"mini-imagenet-cache-{split}.pkl"] = pickle.dumps(value, protocol)
    return files


def labelled(classes: dict[str, np.ndarray], labels: list) -> tuple[np.ndarray, list]:
    """(images, labels) in an order that mixes the classes."""
    images = np.concatenate(list(classes.values()))
    order = np.arange(len(images)).reshape(len(classes), EACH).T.reshape(-1)
    return images[order], np.repeat(labels, EACH)[order].tolist()


def meta_opt_net_files(splits: Splits) -> dict[str, bytes]:
    """Name -> content of MetaOptNet's pickles; labels number the classes of all splits."""
    files, next_label = {}, 0
    names = {"train": "train_phase_train", "val": "val", "test": "test"}
    for split, classes in splits.items():
        numbers = list(range(next_label, next_label + len(classes)))
        next_label += len(classes)
        images, labels = labelled(classes, numbers)
        name = f"miniImageNet_category_split_{names[split]}.pickle"
        files[name] = pickle.dumps({"data": images, "labels": labels}, 2)
    return files


def npz_files(splits: Splits) -> dict[str, bytes]:
    """Name -> content of train.npz, val.npz, test.npz."""
    files = {}
    for split, classes in splits.items():
        images, labels = labelled(classes, list(classes))
        file = io.BytesIO()
        np.savez(file, image_data=images, labels=np.array(labels))
        files[f"{split}.npz"] = file.getvalue()
    return files


def write_files(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(folder)


def zipped(files: dict[str, bytes], outer: str = "") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(outer + name, content)
    return file.getvalue()
