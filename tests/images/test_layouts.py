"""Folders and ZIP files as people have them: the same arrays, or the step to take."""

from __future__ import annotations

import io
import os
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.images.image_folder import load_image_folder
from tests.image_data import CLASSES, EACH, SIZE, csv_files, folder_files, small_splits, write_files

SPLITS = small_splits()
FOLDERS = folder_files(SPLITS)
LITTER = ["._0.png", ".DS_Store", ".ipynb_checkpoints/0.png", "__MACOSX/._0.png", "Thumbs.db"]


def loaded(path, lines: list[str] | None = None):
    log = (lambda _: None) if lines is None else lines.append
    return load_image_folder(str(path), image_size=SIZE, log=log)


def assert_is(splits) -> None:
    for split, classes in splits.items():
        assert classes.names == CLASSES[split]
        assert classes.count.tolist() == [EACH] * len(CLASSES[split])
        np.testing.assert_array_equal(classes.images, np.concatenate(list(SPLITS[split].values())))


def renamed(change, files=FOLDERS) -> dict[str, bytes]:
    return {change(*name.split("/")): content for name, content in files.items()}


def some_deeper(split, name, file):
    """The first picture of a class stands in it, the others one folder deeper."""
    return f"{split}/{name}/{file}" if file == "0.png" else f"{split}/{name}/more/{file}"


LONG = {"train": "training", "val": "validation", "test": "testing"}
LAYOUTS = {
    "plain": lambda s, c, f: f"{s}/{c}/{f}",
    "capitals": lambda s, c, f: f"{s.capitalize()}/{c}/{f}",
    "all capitals": lambda s, c, f: f"{s.upper()}/{c}/{f.upper()}",
    "long names": lambda s, c, f: f"{LONG[s]}/{c}/{f}",
    "valid": lambda s, c, f: f"{'valid' if s == 'val' else s}/{c}/{f}",
    "images": lambda s, c, f: f"{s}/{c}/images/{f}",
    "two deeper": lambda s, c, f: f"{s}/{c}/a/b/{f}",
    "some deeper": some_deeper,
    "one outer folder": lambda s, c, f: f"mini/{s}/{c}/{f}",
    "two outer folders": lambda s, c, f: f"mini/data/{s}/{c}/{f}",
}


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def backslashes(content: bytes) -> bytes:
    """As some programs of Windows write names; Python's writer would not."""
    for split in CLASSES:
        for name in CLASSES[split]:
            content = content.replace(f"{split}/{name}/".encode(), f"{split}\\{name}\\".encode())
    return content


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", ["folder", "ZIP"])
def test_layouts(layout, form, tmp_path):
    files = renamed(LAYOUTS[layout])
    lines: list[str] = []
    write_files(tmp_path, files if form == "folder" else {"a.zip": zipped(files)})
    assert_is(loaded(tmp_path, lines))
    assert lines == []


def test_a_zip_with_backslashes(tmp_path):
    content = backslashes(zipped(FOLDERS))
    assert b"train\\bear\\0.png" in content and b"train/" not in content
    write_files(tmp_path, {"a.ZIP": content})
    assert_is(loaded(tmp_path / "a.ZIP"))
    assert_is(loaded(tmp_path))


INSIDE = {
    "classes": lambda s, c, f: f"{c}/{f}",
    "the split": lambda s, c, f: f"{s}/{c}/{f}",
    "the split in capitals": lambda s, c, f: f"{s.upper()}/{c}/{f}",
    "classes with images": lambda s, c, f: f"{c}/images/{f}" if s != "val" else f"{c}/{f}",
}


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("name", ["{}.zip", "{}.ZIP", "mini_{}.zip", "Mini-{}.zip"])
def test_one_zip_per_split(inside, name, tmp_path):
    files = {}
    for split in CLASSES:
        own = {n: c for n, c in FOLDERS.items() if n.startswith(f"{split}/")}
        files[name.format(split)] = zipped(renamed(INSIDE[inside], own))
    assert_is(loaded(write_files(tmp_path, files)))


@pytest.mark.parametrize("names", [["train.zip", "val.zip"], ["train.zip", "mini_train.zip"]])
def test_zips_that_are_not_one_per_split(names, tmp_path):
    write_files(tmp_path, dict.fromkeys(names, zipped(FOLDERS)))
    with pytest.raises(DataError, match=r"zip|no folder"):
        loaded(tmp_path)


@pytest.mark.parametrize("litter", LITTER)
@pytest.mark.parametrize("place", ["", "train/", "train/bear/"])
@pytest.mark.parametrize("form", ["folder", "ZIP"])
def test_litter_of_programs_is_nobodys_picture(litter, place, form, tmp_path):
    lines: list[str] = []
    files = FOLDERS | {place + litter: b"junk"}
    write_files(tmp_path, files if form == "folder" else {"a.zip": zipped(files)})
    assert_is(loaded(tmp_path, lines))
    assert lines == []


def test_what_is_left_out_is_counted_and_named(tmp_path):
    more = ["train/bear/a.heic", "train/bear/b.HEIC", "train/c.png", "notes.txt", "test/asp/LIST"]
    lines: list[str] = []
    assert_is(loaded(write_files(tmp_path, FOLDERS | dict.fromkeys(more, b"x")), lines))
    (line,) = lines
    assert "5 files" in line
    assert "(2 .heic, 1 .png, 1 .txt, 1 without an ending)" in line
    assert "notes.txt, test/asp/LIST, train/bear/a.heic, ..." in line


def test_pictures_in_no_list_are_counted(tmp_path):
    lines: list[str] = []
    files = csv_files(SPLITS) | {"images/more.jpg": b"x"}
    assert_is(loaded(write_files(tmp_path, files), lines))
    assert "1 file" in lines[0] and "images/more.jpg" in lines[0]


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "jfif", "png", "webp", "bmp", "gif", "tif"])
def test_endings_that_are_read(ending, tmp_path):
    files = renamed(lambda s, c, f: f"{s}/{c}/{f.replace('png', ending)}")
    assert_is(loaded(write_files(tmp_path, files)))


STEPS = {
    "classes without a split": (lambda s, c, f: f"{c}/{f}", "5 folders of pictures.*move each"),
    "one split": (lambda s, c, f: f"train/{s}_{c}/{f}", "no folder val/<class>/"),
    "groups of classes": (lambda s, c, f: f"{s}/animals_{s}/{c}_{f[0]}/{f}", "move them up"),
    "no folders": (lambda s, c, f: f"{s}_{c}_{f}", "none of the known forms"),
    "two folders of a split": (
        lambda s, c, f: f"{s if f == '0.png' else s.upper()}/{c}/{f}",
        "two folders of one split",
    ),
}


@pytest.mark.parametrize("case", STEPS)
def test_the_step_to_take(case, tmp_path):
    change, sentence = STEPS[case]
    with pytest.raises(DataError, match=sentence):
        loaded(write_files(tmp_path, renamed(change)))


NFC, NFD = (unicodedata.normalize(form, "\u00e9l\u00e9phant") for form in ("NFC", "NFD"))


def relabelled(content: bytes, bear: str, asp: str) -> bytes:
    """A list with other names of two classes."""
    return content.replace(b",bear", f",{bear}".encode()).replace(b",asp", f",{asp}".encode())


@pytest.mark.parametrize("form", ["folder", "ZIP", "lists"])
@pytest.mark.parametrize(("one", "other"), [(NFC, NFD), (NFD, NFC), (NFD, NFD)])
def test_a_class_spelled_in_two_ways_is_one(one, other, form, tmp_path):
    """A leak between splits, under whatever spelling."""
    files = renamed(lambda s, c, f: f"{s}/{ {'bear': one, 'asp': other}.get(c, c) }/{f}")
    if form == "lists":
        files = {
            name: relabelled(content, one, other) if name.endswith(".csv") else content
            for name, content in csv_files(SPLITS).items()
        }
    write_files(tmp_path, {"a.zip": zipped(files)} if form == "ZIP" else files)
    with pytest.raises(DataError, match=f"class {NFC} .* a leak"):
        loaded(tmp_path)


def test_a_class_in_two_spellings_of_one_split_is_one_class(tmp_path):
    files = renamed(lambda s, c, f: f"{s}/{(NFC, NFD)[int(f[0]) % 2] if c == 'bear' else c}/{f}")
    train = loaded(write_files(tmp_path, files))["train"]
    assert train.names == ("crow", NFC)
    assert train.count.tolist() == [EACH, EACH]


def test_lists_and_files_in_two_spellings(tmp_path):
    files = {}
    for name, content in csv_files(SPLITS).items():
        if name.endswith(".csv"):
            files[name] = content.replace(b"bear0", f"{NFC}0".encode())
        else:
            files[name.replace("bear0", f"{NFD}0")] = content
    assert_is(loaded(write_files(tmp_path, files)))


@pytest.mark.parametrize("name", [str.upper, str.capitalize, lambda name: f"{LONG[name]}"])
@pytest.mark.parametrize("outer", ["", "mini/"])
def test_names_of_lists(name, outer, tmp_path):
    files = {}
    for file, content in csv_files(SPLITS).items():
        stem = file.removesuffix(".csv")
        files[outer + (f"{name(stem)}.CSV" if stem in LONG else file)] = content
    lines: list[str] = []
    assert_is(loaded(write_files(tmp_path, files), lines))
    assert lines == []


def test_two_lists_of_a_split(tmp_path):
    files = csv_files(SPLITS)
    with pytest.raises(DataError, match="two lists of one split"):
        loaded(write_files(tmp_path, files | {"Train.csv": files["train.csv"]}))


def test_a_name_that_is_no_text(tmp_path):
    write_files(tmp_path, FOLDERS)
    os.rename(tmp_path / "train/bear", os.fsencode(str(tmp_path / "train/")) + b"/b\xff")
    with pytest.raises(DataError, match="rename it"):
        loaded(tmp_path)


def test_a_pipe_in_place_of_a_picture_does_not_hang(tmp_path):
    write_files(tmp_path, FOLDERS)
    Path(tmp_path / "train/bear/0.png").unlink()
    os.mkfifo(tmp_path / "train/bear/0.png")
    with pytest.raises(DataError, match="not a regular file"):
        loaded(tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_unpack_without_a_bound_are_refused(method, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        for name, content in FOLDERS.items():
            archive.writestr(name, content)
    with pytest.raises(DataError, match="zip it again"):
        loaded(tmp_path)
