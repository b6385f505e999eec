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
