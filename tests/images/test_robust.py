"""Leaks between splits under other names, damaged bytes, and files that are half-written."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets

from meta_shrink import DataError, UsageError
from meta_shrink.images.image_folder import load_image_folder
from meta_shrink.images.npz_file import read_npz
from meta_shrink.images.prepare import prepare_images, prepare_omniglot
from tests.image_data import (
    ROOT,
    SIZE,
    csv_files,
    folder_files,
    npz_files,
    pickle_files,
    png,
    small_splits,
    write_files,
)
from tests.images.test_bad_pictures import assert_refused

SPLITS = small_splits()
BEAR = SPLITS["train"]["bear"]
HOW = {"image_size": SIZE, "log": lambda _: None}


@pytest.mark.parametrize("form", [csv_files, folder_files, pickle_files, npz_files])
def test_a_class_under_another_name_in_another_split_is_a_leak(form, tmp_path):
    splits = small_splits()
    splits["test"]["eel"] = BEAR[::-1].copy()
    splits["test"]["eel"][0] = 0
    folder = write_files(tmp_path, form(splits))
    assert_refused(folder, "class bear of train and class eel of test in .* a leak")


def test_one_image_in_two_splits_is_no_leak(tmp_path):
    splits = small_splits()
    splits["test"]["eel"][0] = BEAR[0]
    load_image_folder(write_files(tmp_path, npz_files(splits)), image_size=SIZE)


@pytest.mark.parametrize("form", [csv_files, npz_files, pickle_files])
def test_changed_bytes_end_in_a_sentence_or_in_images(form, tmp_path):
    """Nothing else: no traceback, and nothing that hangs."""
    rng, files = random.Random(0), form(SPLITS)
    folder = write_files(tmp_path, files)
    for _ in range(150):
        name = rng.choice(sorted(files))
        content = bytearray(files[name])
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        write_files(tmp_path, {name: bytes(content)})
        try:
            load_image_folder(folder, image_size=SIZE)
        except DataError as error:
            assert str(error)
        write_files(tmp_path, {name: files[name]})


def test_our_own_file_proves_itself(tmp_path):
    """Whatever byte is changed, it is the same images or an error."""
    source = write_files(tmp_path / "source", folder_files(SPLITS))
    splits = prepare_images(source, str(tmp_path), **HOW)
    content, refused, rng = (tmp_path / "images.npz").read_bytes(), 0, random.Random(0)
    for _ in range(200):
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= rng.randrange(1, 256)
        try:
            loaded, _ = read_npz(write_files(tmp_path, {"a.npz": bytes(changed)}) + "/a.npz")
        except DataError:
            refused += 1
            continue
        for split, classes in splits.items():
            np.testing.assert_array_equal(loaded[split].images, classes.images)
            assert loaded[split].names == classes.names
    assert refused > 100


def test_a_half_written_file_leaves_the_old_one(tmp_path, monkeypatch):
    source = write_files(tmp_path / "source", folder_files(SPLITS))
    out = tmp_path / "out"
    prepare_images(source, str(out), **HOW)
    before = (out / "images.npz").read_bytes()
    (Path(source) / "train" / "bear" / "0.png").write_bytes(png(BEAR[0] // 2))

    def full_disk(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full_disk)
        with pytest.raises(OSError, match="No space left"):
            prepare_images(source, str(out), **HOW)
    assert (out / "images.npz").read_bytes() == before
    assert not list(out.glob("*.tmp"))


def test_the_source_is_not_overwritten(tmp_path):
    folder = write_files(tmp_path, folder_files(SPLITS))
    with pytest.raises(UsageError, match="is the folder of --from"):
        prepare_images(folder, folder + "/", **HOW)


def test_pillow_that_is_missing_is_told_with_the_extra(tmp_path, monkeypatch):
    folder = write_files(tmp_path, folder_files(SPLITS))
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(UsageError, match=r"needs PIL\.Image.*pip install 'meta_shrink\[images\]'"):
        load_image_folder(folder, image_size=SIZE)


def test_nothing_is_imported_before_files_are_read():
    """Tasks that need no images must not need the extra, and a cached set no TensorFlow."""
    code = (
        "import sys, meta_shrink.images.prepare\n"
        "print([m for m in ('tensorflow', 'tensorflow_datasets', 'PIL') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


def test_a_failed_download_is_one_sentence_and_leaves_no_scratch(tmp_path, monkeypatch):
    def no_network(self, **options):
        Path(options["download_dir"]).mkdir()
        raise ConnectionError("github.com: no route\nto host")

    builder = tensorflow_datasets.core.DatasetBuilder
    monkeypatch.setattr(builder, "download_and_prepare", no_network)
    with pytest.raises(DataError, match=r"could not download Omniglot .*no route\).*--from=FOLDER"):
        prepare_omniglot(str(tmp_path / "out"), log=lambda _: None)
    assert os.listdir(tmp_path / "out") == ["omniglot.lock"]
