"""Every form in which people keep miniImageNet gives the same arrays."""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from meta_shrink import DataError
from meta_shrink.images import file_tree
from meta_shrink.images.classes import ImageClasses
from meta_shrink.images.image_folder import load_image_folder
from meta_shrink.images.prepare import prepare_images
from tests.image_data import (
    CLASSES,
    EACH,
    SIZE,
    csv_files,
    folder_files,
    meta_opt_net_files,
    npz_files,
    pickle_files,
    png,
    published,
    small_splits,
    write_files,
    zipped,
)

SPLITS = small_splits()


def load(path: str, **options) -> dict[str, ImageClasses]:
    return load_image_folder(path, **{"image_size": SIZE, **options})


def assert_is(loaded: dict[str, ImageClasses], names: dict[str, tuple[str, ...]] = CLASSES) -> None:
    """The small splits, by these names of the classes."""
    assert list(loaded) == ["train", "val", "test"]
    for split, classes in loaded.items():
        assert classes.names == names[split] and set(classes.groups) == {""}
        assert classes.count.tolist() == [EACH] * len(names[split])
        np.testing.assert_array_equal(classes.images, np.concatenate(list(SPLITS[split].values())))


PICTURES = {"lists": csv_files, "folders": folder_files}
ARRAYS = {"pickles": pickle_files, "npz": npz_files}


@pytest.mark.parametrize("form", [*PICTURES, *ARRAYS])
def test_a_folder(form, tmp_path):
    assert_is(load(write_files(tmp_path, (PICTURES | ARRAYS)[form](SPLITS))))


@pytest.mark.parametrize("outer", ["", "mini-imagenet/"])
@pytest.mark.parametrize("form", PICTURES)
def test_a_zip_file_and_a_folder_with_one(form, outer, tmp_path):
    clutter = {"__MACOSX/images/._a.jpg": b"", "README.md": b""} if not outer else {}
    files = PICTURES[form](SPLITS) | clutter
    folder = write_files(tmp_path, {"some.zip": zipped(files, outer), "LICENSE": b"free"})
    assert_is(load(os.path.join(folder, "some.zip")))
    assert_is(load(folder))
    assert sorted(os.listdir(folder)) == ["LICENSE", "some.zip"]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_pickles_of_every_protocol(protocol, tmp_path):
    assert_is(load(write_files(tmp_path, pickle_files(SPLITS, protocol=protocol))))


def test_learn2learn_s_name_of_the_validation_split(tmp_path):
    files = pickle_files(SPLITS)
    files["mini-imagenet-cache-validation.pkl"] = files.pop("mini-imagenet-cache-val.pkl")
    assert_is(load(write_files(tmp_path, files)))


def test_meta_opt_net_numbers_classes_over_all_splits(tmp_path):
    files = meta_opt_net_files(SPLITS)
    # More images of the training classes, which are no split.
    files["miniImageNet_category_split_train_phase_val.pickle"] = b"not read"
    names = {"train": ("0", "1"), "val": ("2",), "test": ("3", "4")}
    assert_is(load(write_files(tmp_path, files)), names)


def test_numbers_that_recur_are_counted_per_split(tmp_path):
    splits = {split: dict(enumerate(classes.values())) for split, classes in SPLITS.items()}
    names = {"train": ("train/0", "train/1"), "val": ("val/0",), "test": ("test/0", "test/1")}
    assert_is(load(write_files(tmp_path, npz_files(splits))), names)  # type: ignore[arg-type]


def test_numbers_are_sorted_as_numbers(tmp_path):
    splits = {
        split: dict(zip(numbers, SPLITS[split].values(), strict=True))
        for split, numbers in {"train": (9, 10), "val": (11,), "test": (99, 100)}.items()
    }
    names = {"train": ("9", "10"), "val": ("11",), "test": ("99", "100")}
    assert_is(load(write_files(tmp_path, npz_files(splits))), names)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", [*PICTURES, *ARRAYS])
def test_what_was_prepared(form, tmp_path):
    source = write_files(tmp_path / "source", (PICTURES | ARRAYS)[form](SPLITS))
    out = str(tmp_path / "out")
    lines: list[str] = []
    assert_is(prepare_images(source, out, image_size=SIZE, log=lines.append))
    assert_is(load(out))
    assert_is(load(os.path.join(out, "images.npz")))
    assert_is(prepare_images(source, out, image_size=SIZE, log=lines.append))
    assert sum("prepared already" in line for line in lines) == 1


def test_a_changed_source_or_size_is_prepared_again(tmp_path):
    source = write_files(tmp_path / "source", folder_files(SPLITS))
    out = str(tmp_path / "out")
    how: dict[str, Any] = {"log": lambda _: None, "image_size": SIZE}
    prepare_images(source, out, **how)
    os.remove(os.path.join(source, "train", "bear", "0.png"))
    assert prepare_images(source, out, **how)["train"].count.tolist() == [EACH - 1, EACH]
    how["image_size"] = 3
    assert prepare_images(source, out, **how)["val"].images.shape[1] == 3


def test_an_order_of_the_directory_does_not_matter(tmp_path, monkeypatch):
    folder = write_files(tmp_path, folder_files(SPLITS))
    walk = os.walk

    def reversed_walk(*arguments, **options):
        for name, folders, files in walk(*arguments, **options):
            folders.sort(reverse=True)
            yield name, folders, sorted(files, reverse=True)

    monkeypatch.setattr(file_tree.os, "walk", reversed_walk)
    assert_is(load(folder))


def test_links_are_followed_and_not_for_ever(tmp_path):
    real = write_files(tmp_path / "real", csv_files(SPLITS))
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in os.listdir(real):
        (linked / name).symlink_to(Path(real) / name)
    (linked / "up").symlink_to(linked)
    assert_is(load(str(linked)))


def test_large_and_grey_pictures(tmp_path):
    """They become RGB of the size asked for; Lanczos unless another filter is asked for."""
    files = folder_files(SPLITS)
    rng = np.random.default_rng(3)
    grey, large = (rng.integers(0, 256, shape).astype(np.uint8) for shape in ([9, 12], [5, 7, 3]))
    files |= {"val/dace/0.png": png(grey), "val/dace/1.png": png(large)}
    folder = write_files(tmp_path, files)
    for name in ("lanczos", "bilinear"):
        images = load(folder, interpolation=name)["val"].images
        for image, original in zip(images, (grey, large), strict=False):
            picture = Image.fromarray(original).convert("RGB")
            expected = picture.resize((SIZE, SIZE), Image.Resampling[name.upper()])
            np.testing.assert_array_equal(image, np.asarray(expected))


@pytest.mark.parametrize("form", ["npz", "prepared"])
def test_arrays_are_resized_as_pictures_are(form, tmp_path):
    expected = load(write_files(tmp_path / "folders", folder_files(SPLITS)), image_size=4)
    folder = write_files(tmp_path / "npz", npz_files(SPLITS))
    if form == "prepared":
        prepare_images(folder, str(tmp_path / "out"), image_size=SIZE, log=lambda _: None)
        folder = str(tmp_path / "out")
    for split, classes in load(folder, image_size=4).items():
        np.testing.assert_array_equal(classes.images, expected[split].images)


def test_prepared_images_are_not_enlarged(tmp_path):
    source = write_files(tmp_path / "source", folder_files(SPLITS))
    prepare_images(source, str(tmp_path / "out"), image_size=SIZE, log=lambda _: None)
    with pytest.raises(DataError, match=f"side {SIZE}, and 84 .* --image_size=84"):
        load_image_folder(str(tmp_path / "out"))


def test_grocery84():
    """Known classes in a known order, and pixels."""
    splits = load_image_folder(str(published("grocery84")))
    assert {split: len(classes.names) for split, classes in splits.items()} == {
        "train": 49,
        "val": 12,
        "test": 20,
    }
    assert all(set(classes.count.tolist()) == {30} for classes in splits.values())
    assert splits["test"].images.shape == (600, 84, 84, 3)
    assert len({name for classes in splits.values() for name in classes.names}) == 81
    # Decoders of JPEG may differ by a grey level or two: means, not hashes, of the pixels.
    names = hashlib.sha256("\n".join(splits["test"].names).encode()).hexdigest()
    assert names.startswith("87b6d6da")
    assert abs(splits["test"].images.mean() - 104.18) < 0.5


def test_the_lists_of_mini_imagenet_without_images(tmp_path):
    """Ravi & Larochelle's lists are read; their images, which are not, are told."""
    with tarfile.open(published("miniimagenet_splits") / "miniimagenet_ravi_csv.tar.xz") as archive:
        for member in archive.getmembers():
            if member.name.endswith(".csv"):
                content = archive.extractfile(member)
                assert content is not None
                (tmp_path / Path(member.name).name).write_bytes(content.read())
    with pytest.raises(
        DataError, match=r"names 38400 of 38400 images that are not there, images/n"
    ):
        load_image_folder(str(tmp_path))
