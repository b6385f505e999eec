"""Pickles and NPZ files that are missing, broken or of other arrays: one sentence says which."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest

from meta_shrink.images.npz_file import write_npz
from meta_shrink.images.prepare import prepare_images
from tests.image_data import SIZE, npz_files, pickle_files, small_splits, write_files
from tests.images.test_bad_pictures import FOLDERS, assert_refused, without

SPLITS = small_splits()
PICKLES, NPZ = pickle_files(SPLITS), npz_files(SPLITS)
BEAR = SPLITS["train"]["bear"]
LABELS = np.array(["a", "a", "b", "b"])
VAL, TEST = "mini-imagenet-cache-val.pkl", "mini-imagenet-cache-test.pkl"


def pickled(**items) -> bytes:
    value = {"image_data": BEAR, "class_dict": {"bear": [0, 1]}, **items}
    return pickle.dumps({name: item for name, item in value.items() if item is not None}, 2)


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{"image_data": BEAR, "labels": LABELS, **arrays})
    return file.getvalue()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_splits_of_other_channels_than_the_others(split, tmp_path):
    arrays = {name: dict(np.load(io.BytesIO(content))) for name, content in NPZ.items()}
    own = arrays[f"{split}.npz"]
    own["image_data"] = own["image_data"][..., :1]
    file = io.BytesIO()
    np.savez(file, **own)
    part = r"pictures of the form \[6, 6, \d\] .* in train and .* in (val|test): make them alike"
    assert_refused(write_files(tmp_path, NPZ | {f"{split}.npz": file.getvalue()}), part)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is not a whole pickle"),
        (pickled()[:200], "is not a whole pickle"),
        (pickled()[:-1], "is not a whole pickle"),
        (pickle.dumps([1]), "holds no dict with image_data"),
        (pickled(class_dict=None), "holds no dict with image_data"),
        (pickled(image_data=[1]), "are no array"),
        (pickled(image_data=BEAR / 255), "are float64"),
        (pickled(image_data=BEAR[0]), r"are uint8 \[6, 6, 3\]"),
        (pickled(image_data=BEAR[:0]), "has no images"),
        (pickled(class_dict={}), "no dict of classes"),
        (pickled(class_dict=[[0, 1]]), "no dict of classes"),
        (pickled(class_dict={"a": [4]}), "rows outside of its 4 images"),
        (pickled(class_dict={"a": [-1]}), "rows outside of its 4 images"),
        (pickled(class_dict={"a": []}), "no whole numbers"),
        (pickled(class_dict={"a": 1}), "no whole numbers"),
        (pickled(class_dict={"a": ["0"]}), "no whole numbers"),
        (pickled(class_dict={"a": [[0], [1, 2]]}), "no whole numbers"),
        (pickled(class_dict={"a": [0], "b": [1, 0]}), "an image to two classes"),
        (pickle.dumps({"data": BEAR, "labels": [0, 1]}, 2), "labels of .* are not 4 words"),
    ],
)
def test_pickles(content, part, tmp_path):
    assert_refused(write_files(tmp_path, PICKLES | {TEST: content}), part)


def test_a_pickle_that_is_missing_or_there_twice(tmp_path):
    assert_refused(write_files(tmp_path / "a", without(PICKLES, VAL)), "0 files for the split val")
    twice = PICKLES | {f"old/{VAL}": b""}
    assert_refused(write_files(tmp_path / "b", twice), "2 files for the split val")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "val.npz is not a whole NPZ"),
        (b"PK", "val.npz is not a whole NPZ"),
        (npz()[:-30], "val.npz is not a whole NPZ"),
        (npz().replace(b"(4, 6, 6, 3)", b"(4, 6, 9999)"), "val.npz is not a whole NPZ"),
        (pickle.dumps(BEAR), "no ZIP file"),
        (npz(labels=LABELS.astype(object)), "Python objects"),
        (npz(labels=LABELS[:3]), "labels of .* are not 4 words or whole numbers"),
        (npz(labels=np.ones(4)), "words or whole numbers"),
        (npz(labels=LABELS[:, np.newaxis]), "words or whole numbers"),
        (npz(image_data=BEAR.astype(int)), "are int64"),
        (npz(image_data=BEAR[..., :2]), "expected uint8"),
    ],
)
def test_npz_files(content, part, tmp_path):
    assert_refused(write_files(tmp_path, NPZ | {"val.npz": content}), part)


def test_an_npz_file_that_is_missing_or_of_other_arrays(tmp_path):
    assert_refused(write_files(tmp_path / "a", without(NPZ, "test.npz")), "0 files for the split t")
    file = io.BytesIO()
    np.savez(file, images=BEAR)
    other = NPZ | {"val.npz": file.getvalue()}
    assert_refused(
        write_files(tmp_path / "b", other), "val.npz has no arrays image_data and labels"
    )


def test_a_file_that_we_did_not_write_or_for_something_else(tmp_path):
    folder = write_files(tmp_path / "a", {"images.npz": NPZ["val.npz"]})
    assert_refused(folder, "was not written by meta-shrink prepare-data")
    source = write_files(tmp_path / "source", FOLDERS)
    splits = prepare_images(source, str(tmp_path / "b"), image_size=SIZE, log=lambda _: None)
    write_npz(str(tmp_path / "b" / "images.npz"), {"all": splits["train"]})
    assert_refused(tmp_path / "b", "has no split test")
