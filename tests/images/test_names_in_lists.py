"""A picture that lists call by several names is one picture, and files of like names are two."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.images.image_folder import load_image_folder
from tests.image_data import SIZE, csv_files, png, small_splits, write_files

NFC, NFD = (unicodedata.normalize(form, "\u00e9.png") for form in ("NFC", "NFD"))
NAMES = (f"images/{NFC}", NFC, f"images/{NFD}", NFD)
CLASS = {"train": "bear", "val": "dace", "test": "asp"}


def plain(value: int) -> bytes:
    """A picture of one colour, which no other has."""
    return png(np.full([SIZE, SIZE, 3], value, np.uint8))


def with_rows(rows: list[tuple[str, str]], pictures: dict[str, bytes]) -> dict[str, bytes]:
    """The lists with more rows, (split, name of a picture) each, and more pictures."""
    files = csv_files(small_splits()) | pictures
    for split, name in rows:
        files[f"{split}.csv"] += f"{name},{CLASS[split]}\r\n".encode()
    return files


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a.png,crane, a bird", "more or fewer fields than its header, line 10"),
        ("a.png", "more or fewer fields than its header, line 10"),
        ('a.png,"bear', r"cannot be read \(unexpected end of data\)"),
        ('a.png,"bear\r\nb.png,bear"', "more or fewer fields .*: put names with commas in double"),
        ('a.png,"bear" x', r"cannot be read \('.*' expected after '.*'\)"),
        ("a.png, ", "without a filename or a label, line 10"),
    ],
)
def test_a_row_that_is_not_read_as_it_was_meant_is_refused(row, told, tmp_path):
    files = csv_files(small_splits()) | {f"images/{n}.png": plain(ord(n)) for n in "ab"}
    assert files["train.csv"].count(b"\n") == 9
    files["train.csv"] += row.encode() + b"\r\n"
    with pytest.raises(DataError, match=f"train.csv of .* {told}"):
        load_image_folder(str(write_files(tmp_path, files)), image_size=SIZE)


@pytest.mark.parametrize("row", ["{}, bear", "{},bear ", '{}, "bear"', '"{}","bear"\t'])
def test_spaces_around_a_label_make_no_other_class(row, tmp_path):
    files = csv_files(small_splits()) | {"images/a.png": plain(7)}
    before = load_image_folder(str(write_files(tmp_path / "x", files)), image_size=SIZE)["train"]
    files["train.csv"] += row.format("a.png").replace("\t", "").encode() + b"\r\n"
    splits = load_image_folder(str(write_files(tmp_path / "y", files)), image_size=SIZE)["train"]
    assert splits.names == before.names and sum(splits.count) == sum(before.count) + 1


@pytest.mark.parametrize(("split", "there"), [("train", NFC), ("val", NFD), ("test", NFD)])
@pytest.mark.parametrize("other", NAMES)
@pytest.mark.parametrize("one", NAMES)
def test_a_picture_twice_is_refused_by_whatever_names(one, other, split, there, tmp_path):
    """In two splits it would be a test picture that was trained on; in one it would count twice."""
    files = with_rows([("train", one), (split, other)], {f"images/{there}": plain(7)})
    with pytest.raises(DataError) as caught:
        load_image_folder(str(write_files(tmp_path, files)), image_size=SIZE)
    where = f"is in class bear of train.csv and in class {CLASS[split]} of {split}.csv"
    assert f"image images/{there} of " in str(caught.value) and where in str(caught.value)


@pytest.mark.parametrize("one", NAMES)
def test_each_list_has_its_own_where_a_file_system_keeps_both_spellings(one, tmp_path):
    other = one.replace(NFC, NFD) if NFC in one else one.replace(NFD, NFC)
    pictures = {f"images/{name.removeprefix('images/')}": n for name, n in ((one, 7), (other, 9))}
    files = with_rows([("train", one), ("test", other)], {n: plain(v) for n, v in pictures.items()})
    found = load_image_folder(str(write_files(tmp_path, files)), image_size=SIZE)
    for split, value in (("train", 7), ("test", 9)):
        added = found[split].rows(found[split].names.index(CLASS[split]))
        assert [int(image[0, 0, 0]) for image in added if len(np.unique(image)) == 1] == [value]
