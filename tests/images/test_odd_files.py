"""Files that are no files, names that are there twice, links: read rightly or refused."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from meta_shrink import DataError
from meta_shrink.images.image_folder import load_image_folder
from meta_shrink.images.pictures import decode_rgb
from tests.image_data import CLASSES, SIZE, png, small_splits

SPLITS = ("train", "val", "test")
PLACES = ["images.npz", "train.npz", "train.csv", "mini-imagenet-cache-train.pkl", "all.zip"]


def files() -> dict[str, bytes]:
    """Path -> content of pictures in folders of classes."""
    return {
        f"{split}/{name}/{number}.png": png(image)
        for split, classes in small_splits().items()
        for name, images in classes.items()
        for number, image in enumerate(images)
    }


def write(folder: Path, content: dict[str, bytes]) -> None:
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


def load(path: Path):
    return load_image_folder(str(path), image_size=SIZE, log=lambda _: None)


def counts(path: Path) -> dict[str, dict[str, int]]:
    return {
        split: dict(zip(own.names, own.count.tolist(), strict=True))
        for split, own in load(path).items()
    }


PLAIN = {split: dict.fromkeys(names, 4) for split, names in CLASSES.items()}


@pytest.mark.parametrize("put", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
@pytest.mark.parametrize("place", PLACES)
def test_a_pipe_or_a_device_in_place_of_a_file_does_not_hang(place, put, tmp_path):
    put(tmp_path / place)
    with pytest.raises(DataError, match="regular file"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["./train/bear/9.png", "train//bear/9.png", "/train/bear/9.png"])
def test_members_of_a_zip_in_other_spellings_of_their_names(name, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path, content in files().items():
            archive.writestr(path, content)
        archive.writestr(name, png(np.zeros((SIZE, SIZE, 3), np.uint8)))
    assert counts(tmp_path) == {**PLAIN, "train": {"bear": 5, "crow": 4}}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train/bear/0.png", "two files of the name train/bear/0.png"),
        ("train\\bear\\0.png", "two files of the name train/bear/0.png"),
        ("./train/bear/0.png", "two files of the name train/bear/0.png"),
        ("train/../train/bear/9.png", "leads out of it"),
        ("..\\bear.png", "leads out of it"),
    ],
)
def test_members_of_a_zip_that_are_refused(name, part, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path, content in {**files(), name: b""}.items():
            archive.writestr(path, content)
        if name in files():
            archive.writestr(name, png(np.zeros((SIZE, SIZE, 3), np.uint8)))
    with pytest.raises(DataError, match=part):
        load(tmp_path)


def test_an_encrypted_member_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path, content in files().items():
            archive.writestr(path, content)
        archive.filelist[0].flag_bits |= 1
    with pytest.raises(DataError, match="encrypted: zip it without a password"):
        load(tmp_path)


def npz(path: Path, arrays: list[tuple[str, np.ndarray]]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays:
            file = io.BytesIO()
            np.lib.format.write_array(file, array)
            archive.writestr(name, file.getvalue())


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("twin", ["image_data.npy", "image_data", "labels.npy", "labels"])
def test_an_array_of_one_name_twice_is_refused(twin, tmp_path):
    for split in SPLITS:
        images = next(iter(small_splits()[split].values()))
        arrays = [("image_data.npy", images), ("labels.npy", np.zeros(4, int))]
        npz(tmp_path / f"{split}.npz", [*arrays, (twin, images)])
    with pytest.raises(DataError, match="two arrays of the name"):
        load(tmp_path)


@pytest.mark.parametrize("form", ["npz", "image_data", "data"])
def test_what_else_a_file_holds_is_named(form, tmp_path):
    for split in SPLITS:
        images = next(iter(small_splits()[split].values()))
        rows = (
            {"class_dict": {split: [0, 1, 2, 3]}} if form == "image_data" else {"labels": [0] * 4}
        )
        value = {"data" if form == "data" else "image_data": images, **rows, "boxes": [1], 7: 0}
        if form == "npz":
            arrays = [(f"{name}.npy", np.array(values)) for name, values in value.items()]
            npz(tmp_path / f"{split}.npz", arrays)
        else:
            (tmp_path / f"cache-{split}.pkl").write_bytes(pickle.dumps(value, 2))
    lines: list[str] = []
    load_image_folder(str(tmp_path), image_size=SIZE, log=lines.append)
    assert len(lines) == 3
    assert all(line.endswith(" also holds 7, boxes, which is not read.") for line in lines)


def second_value(content: bytes) -> bytes:
    """The dict of a pickle, given another class_dict at its end."""
    key, value = (pickle.dumps(x, 2)[2:-1] for x in ("class_dict", {"owl": [0, 1, 2, 3]}))
    return content[:-1] + key + value + b"s."


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({b"image_data": np.zeros((4, SIZE, SIZE, 3), np.uint8)}, "a key twice"),
        ({"class_dict": {"owl": [0, 1]}}, "gives 2 of its 4 images no class"),
        (second_value, "a key twice"),
    ],
)
def test_pickles_that_lose_something_are_refused(change, part, tmp_path):
    for split in SPLITS:
        images = next(iter(small_splits()[split].values()))
        value = {"image_data": images, "class_dict": {split: [0, 1, 2, 3]}}
        if isinstance(change, Callable):
            content = change(pickle.dumps(value, 2))
        else:
            content = pickle.dumps({**value, **change}, 2)
        (tmp_path / f"mini-imagenet-cache-{split}.pkl").write_bytes(content)
    with pytest.raises(DataError, match=part):
        load(tmp_path)


def test_splits_of_links_beside_the_classes_are_whole(tmp_path):
    write(tmp_path, {f"all/{name.split('/', 1)[1]}": text for name, text in files().items()})
    for split, names in CLASSES.items():
        (tmp_path / split).mkdir()
        for name in names:
            (tmp_path / split / name).symlink_to(f"../all/{name}")
    assert counts(tmp_path) == PLAIN


def test_links_to_each_other_end(tmp_path):
    write(tmp_path, files())
    for one in range(9):
        for other in range(9):
            (tmp_path / f"more{one}").mkdir(exist_ok=True)
            (tmp_path / f"more{one}" / f"to{other}").symlink_to(f"../more{other}")
    with pytest.raises(DataError, match="links in circles"):
        load(tmp_path)


def test_a_class_in_two_splits_by_a_link_is_a_leak(tmp_path):
    write(tmp_path, files())
    (tmp_path / "test" / "bear").symlink_to("../train/bear")
    with pytest.raises(DataError, match=r"class bear .* is in train and in test: a leak"):
        load(tmp_path)


def test_a_class_under_two_names_is_refused(tmp_path):
    write(tmp_path, files())
    write(tmp_path, {n.replace("bear", "bear copy"): t for n, t in files().items() if "bear" in n})
    with pytest.raises(DataError, match="have the same images: remove one of them"):
        load(tmp_path)


def test_a_tiff_of_signed_bytes_is_refused():
    file, tags = io.BytesIO(), TiffImagePlugin.ImageFileDirectory_v2()
    tags[339] = 2
    Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(file, "TIFF", tiffinfo=tags)
    with pytest.raises(DataError, match="signs, and no known range"):
        decode_rgb(file.getvalue(), "it", size=SIZE, interpolation="lanczos")
