"""Pictures that are missing, broken, unsafe or in two splits: one sentence that says which."""

from __future__ import annotations

import io
import zipfile

import pytest

from meta_shrink import DataError
from meta_shrink.images.image_folder import load_image_folder
from tests.image_data import EACH, SIZE, csv_files, folder_files, small_splits, write_files, zipped

SPLITS = small_splits()
LISTS, FOLDERS = csv_files(SPLITS), folder_files(SPLITS)
IMAGE = "images/bear00000001.jpg"
HEADER = b"filename,label\r\n"


def without(files: dict[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name not in names}


def row(filename: str, label: str = "bear") -> dict[str, bytes]:
    """The lists with one more row."""
    return LISTS | {"train.csv": LISTS["train.csv"] + f"{filename},{label}\r\n".encode()}


def assert_refused(path, part: str) -> None:
    """One line, which names the path."""
    with pytest.raises(DataError, match=part) as caught:
        load_image_folder(str(path), image_size=SIZE)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({}, "none of the known forms: train.csv"),
        ({"a.txt": b"", "images/a.jpg": b""}, "none of the known forms"),
        ({"a.zip": zipped(LISTS), "b.zip": zipped(LISTS)}, "none of the known forms"),
        ({"a.zip": zipped({"a.txt": b""})}, r"a\.zip has none of the known forms"),
        ({"a.zip": b""}, "a.zip is not a whole ZIP file"),
        ({"a.zip": zipped(LISTS)[:-50]}, "a.zip is not a whole ZIP file"),
        ({"a.zip": zipped(LISTS | {IMAGE: b"x"})}, f"image {IMAGE} of .*a.zip cannot be decoded"),
    ],
)
def test_unknown_forms_and_archives(files, part, tmp_path):
    assert_refused(write_files(tmp_path, files), part)


@pytest.mark.parametrize(
    ("files", "part"),
    [
        (without(LISTS, "val.csv"), "has no val.csv; expected train.csv, val.csv and test.csv"),
        (without(LISTS, IMAGE), f"names 1 of 8 images that are not there, {IMAGE} the first"),
        (LISTS | {"test.csv": b""}, "test.csv of .* lists no image"),
        (LISTS | {"test.csv": HEADER}, "test.csv of .* lists no image"),
        (
            LISTS | {"test.csv": b"name,class\r\na.jpg,a\r\n"},
            "test.csv of .* header filename,label",
        ),
        (LISTS | {"test.csv": HEADER + b"\xff\xfe,a\r\n"}, "expected UTF-8"),
        (
            LISTS | {"test.csv": HEADER + b"alone\r\n"},
            "test.csv of .* fewer fields than its header",
        ),
        (row("a.jpg", ""), "train.csv of .* row without"),
        (row("../secret.jpg"), r"\.\./secret.jpg leads out of the folder"),
        (row("a/../../b.jpg"), "leads out of the folder"),
        (row("..\\b.jpg"), "leads out of the folder"),
        (row("/etc/hostname"), "/etc/hostname leads out of the folder"),
        (row("dace00000001.jpg"), "is in class bear of train.csv and in class dace of val.csv"),
        (row("bear00000001.jpg"), "in class bear of train.csv and in class bear of train.csv"),
        (row("bear00000001.jpg", "crow"), "bear00000001.jpg of .* and in class bear of train.csv"),
    ],
)
def test_lists(files, part, tmp_path):
    assert_refused(write_files(tmp_path, files), part)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        LISTS[IMAGE][:-40],
        b"\xff\xd8\xff" + bytes(50),
        b"GIF89a" + bytes(50),
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
    ],
)
def test_an_image_that_cannot_be_decoded_is_named(content, tmp_path):
    folder = write_files(tmp_path, LISTS | {IMAGE: content})
    assert_refused(folder, f"image {IMAGE} of .* cannot be decoded")


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({n: c for n, c in FOLDERS.items() if "val/" not in n}, "has no folder val/<class>/"),
        (FOLDERS | {"train/empty/readme.txt": b""}, "class empty of train in .* has no image"),
        (FOLDERS | {"train/crow/0.png": b"x"}, "image train/crow/0.png of .* cannot be decoded"),
        (
            FOLDERS | {"test/bear/9.png": FOLDERS["val/dace/0.png"]},
            "class bear .* in train and in t",
        ),
    ],
)
def test_folders_of_classes(files, part, tmp_path):
    assert_refused(write_files(tmp_path, files), part)


def test_an_empty_folder_of_a_class_is_told(tmp_path):
    write_files(tmp_path, FOLDERS)
    (tmp_path / "train" / "gone").mkdir()
    assert_refused(tmp_path, "class gone of train in .* has no image")


def test_a_path_that_is_not_there(tmp_path):
    assert_refused(
        tmp_path / "nothing", r"nothing does not exist: .*meta-shrink prepare-data images"
    )


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"tar")
    assert_refused(tmp_path / "a.tar", "none of the known forms")


def test_a_member_that_claims_to_be_huge_is_not_read(tmp_path):
    content = bytearray(zipped(LISTS))
    entry = content.rindex(IMAGE.encode()) - 46  # Of the central directory; the size is at 24.
    content[entry + 24 : entry + 28] = (2**31).to_bytes(4, "little")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.getinfo(IMAGE).file_size == 2**31
    (tmp_path / "a.zip").write_bytes(content)
    assert_refused(tmp_path, "2147483648 bytes: too many")


def test_too_few_images_are_the_task_s_to_refuse(tmp_path):
    files = without(FOLDERS, *(f"val/dace/{number}.png" for number in range(1, EACH)))
    assert load_image_folder(write_files(tmp_path, files), image_size=SIZE)["val"].count == [1]
