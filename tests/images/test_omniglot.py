"""Omniglot as tensorflow-datasets has it, and the cache of its resized drawings."""

from __future__ import annotations

import io
import json
import os
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meta_shrink import DataError, UsageError
from meta_shrink.images import omniglot
from meta_shrink.images.npz_file import write_npz
from meta_shrink.images.omniglot import INSTANCES, load_omniglot
from meta_shrink.images.pictures import INTERPOLATIONS, resize
from tests.image_data import published


def test_every_character_of_lake_s_two_sets(omniglot_dir):
    classes = load_omniglot(omniglot_dir)
    assert classes.images.shape == (32460, 28, 28, 1) and classes.images.dtype == np.uint8
    assert set(classes.count.tolist()) == {20} and len(set(classes.names)) == 1623
    assert list(classes.names) == sorted(classes.names)
    sizes = {group: classes.groups.count(group) for group in classes.groups}
    expected = json.loads((published("omniglot") / "alphabets.json").read_text())
    assert sizes == {alphabet: item["characters"] for alphabet, item in expected.items()}
    for name, group in zip(classes.names, classes.groups, strict=True):
        assert name.startswith(f"{group}/character")
    assert np.median(classes.images) == 255 and classes.images.min() == 0  # Ink 0 on 255.


@pytest.mark.parametrize(
    ("archive", "name"),
    [("background", "Greek/character24"), ("evaluation", "Angelic/character01")],
)
def test_drawings_are_those_of_the_archives(archive, name, omniglot_dir):
    classes = load_omniglot(omniglot_dir)
    folder = f"images_{archive}/{name}/"
    with zipfile.ZipFile(published("omniglot") / f"images_{archive}.zip") as file:
        names = [member for member in file.namelist() if member.startswith(folder)]
        pictures = [
            Image.open(io.BytesIO(file.read(n))).convert("L") for n in names if n[-1] != "/"
        ]
    expected = {resize(picture, 28, "lanczos").tobytes() for picture in pictures}
    found = classes.rows(classes.names.index(name))
    assert {image.tobytes() for image in found} == expected and len(expected) == 20


def one_bit_drawing() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 2, [105, 105]).astype(bool))


def test_nearest_is_what_pillow_does_to_one_bit_files():
    """Leap and MAML ask for Lanczos and get this."""
    drawing = one_bit_drawing()
    expected = np.asarray(drawing.resize((28, 28), Image.Resampling.LANCZOS).convert("L"))
    np.testing.assert_array_equal(resize(drawing.convert("L"), 28, "nearest"), expected)


def test_every_interpolation_is_another_one():
    drawing = one_bit_drawing().convert("L")
    assert len({resize(drawing, 28, name).tobytes() for name in INTERPOLATIONS}) == 4


@pytest.fixture
def small(monkeypatch, tmp_path) -> list[int]:
    """Three characters in place of tensorflow-datasets; the list grows with every reading."""
    readings: list[int] = []

    def examples(data_dir):
        readings.append(1)
        rng = np.random.default_rng(len(readings))
        drawings = [(number, drawing) for number in range(3) for drawing in range(INSTANCES)]
        for index in rng.permutation(len(drawings)):  # tfds shuffles.
            number, drawing = drawings[index]
            pixels = np.full([105, 105], drawing, np.uint8)
            yield f"Alphabet{number // 2}", number % 2, Image.fromarray(pixels)

    monkeypatch.setattr(omniglot, "_examples", examples)
    monkeypatch.setattr(omniglot, "CHARACTERS", 3)
    info = tmp_path / "omniglot" / "3.0.0" / "dataset_info.json"
    info.parent.mkdir(parents=True)
    info.touch()
    return readings


def load(data_dir: Path, **options) -> tuple[omniglot.ImageClasses, list[str]]:
    """(classes, what was logged)."""
    lines: list[str] = []
    return load_omniglot(str(data_dir), image_size=8, log=lines.append, **options), lines


def assert_same(one: omniglot.ImageClasses, other: omniglot.ImageClasses) -> None:
    assert one.names == other.names and one.groups == other.groups
    np.testing.assert_array_equal(one.images, other.images)


def cache_of(data_dir: Path) -> Path:
    return data_dir / "omniglot_resized" / "8-lanczos.npz"


def test_names_groups_and_an_order_that_tfds_cannot_change(small, tmp_path):
    first, lines = load(tmp_path)
    assert lines == []
    assert first.names == tuple(
        f"Alphabet{a}/character{c}" for a, c in ((0, "01"), (0, "02"), (1, "01"))
    )
    assert first.groups == ("Alphabet0", "Alphabet0", "Alphabet1")
    cache_of(tmp_path).unlink()
    assert_same(load(tmp_path)[0], first)
    assert len(small) == 2


def test_the_second_load_reads_the_cache_alone(small, tmp_path):
    first, _ = load(tmp_path)
    shutil.rmtree(tmp_path / "omniglot")
    assert_same(load(tmp_path)[0], first)
    assert len(small) == 1


@pytest.mark.parametrize("damage", ["cut off", "flipped", "empty", "another file"])
def test_a_damaged_cache_is_told_and_made_again(damage, small, tmp_path):
    first, _ = load(tmp_path)
    content = bytearray(cache_of(tmp_path).read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    changed = {
        "cut off": content[:-100],
        "flipped": content,
        "empty": b"",
        "another file": b"x" * 99,
    }
    cache_of(tmp_path).write_bytes(changed[damage])
    again, lines = load(tmp_path)
    assert_same(again, first)
    assert len(lines) == 1 and "made again" in lines[0] and str(cache_of(tmp_path)) in lines[0]
    assert load(tmp_path)[1] == [] and len(small) == 2


def test_a_cache_of_other_settings_is_not_used(small, tmp_path):
    first, _ = load(tmp_path)
    write_npz(str(cache_of(tmp_path)), {"all": first}, image_size=9, interpolation="lanczos")
    assert_same(load(tmp_path)[0], first)
    assert len(small) == 2


def test_what_a_killed_process_left_is_removed(small, tmp_path):
    leftover = Path(f"{cache_of(tmp_path)}.12345.tmp")
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    load(tmp_path)
    assert not leftover.exists()


def test_a_folder_that_cannot_be_written_is_told(small, tmp_path):
    (tmp_path / "omniglot_resized").write_text("in the way")
    _, lines = load(tmp_path)
    assert len(lines) == 2 and "cannot be locked" in lines[0] and "cannot be written" in lines[1]


def test_one_process_reads_while_the_others_wait(small, tmp_path):
    threads = [threading.Thread(target=load, args=[tmp_path]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(small) == 1


def test_a_set_that_lacks_characters_is_refused(small, tmp_path, monkeypatch):
    monkeypatch.setattr(omniglot, "CHARACTERS", 4)
    with pytest.raises(DataError, match=r"is damaged .3 characters, not 4"):
        load(tmp_path)


def test_no_data_set_is_told_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(
        DataError, match=r"no Omniglot in .* meta-shrink prepare-data omniglot --from"
    ):
        load_omniglot(str(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("options", [{"image_size": 0}, {"interpolation": "cubic"}])
def test_options_out_of_range_are_refused(options, tmp_path):
    with pytest.raises(UsageError, match=f"{next(iter(options))} is"):
        load_omniglot(str(tmp_path), **options)


@pytest.mark.parametrize("damage", ["shard cut off", "no shard", "no JSON"])
def test_a_damaged_data_set_is_told(damage, omniglot_dir, tmp_path):
    shutil.copytree(Path(omniglot_dir) / "omniglot", tmp_path / "omniglot")
    version = next((tmp_path / "omniglot").iterdir())
    shard = next(version.glob("*-train.tfrecord-00000*"))
    if damage == "shard cut off":
        os.truncate(shard, 100_000)
    elif damage == "no shard":
        shard.unlink()
    else:
        (version / "dataset_info.json").write_text("{")
    with pytest.raises(DataError, match=r"is damaged .* meta-shrink prepare-data omniglot"):
        load_omniglot(str(tmp_path))
