"""Tasks of pictures are read as training reads them: the same pixels, litter, layouts, spelling."""

from __future__ import annotations

import io
import unicodedata
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from meta_shrink import DataError
from meta_shrink.adapters.backbone_info import ArraySpec, Recipe
from meta_shrink.enrolment.task_files import read_task, task_paths
from meta_shrink.images.image_folder import load_image_folder
from meta_shrink.images.pictures import ORIENTATION
from tests.image_data import EACH, SIZE, png, small_splits, write_files

CLASSES: dict[str, np.ndarray] = {**small_splits()["train"], **small_splits()["test"]}
FILES = {
    f"{name}/{number}.png": png(image)
    for name, images in CLASSES.items()
    for number, image in enumerate(images)
}
LITTER = ["._0.png", ".ipynb_checkpoints/0.png", "__MACOSX/._0.png", "Thumbs.db", ".DS_Store"]
IMAGES = {"size": SIZE, "channels": 3, "invert": False, "interpolation": "lanczos", "exif": True}


def info(ways: int = 4, **images) -> Any:
    """As much of a backbone's facts as reading needs."""
    return SimpleNamespace(
        inputs=(ArraySpec("images", (SIZE, SIZE, 3), "float32"),),
        outputs=(ArraySpec("outputs", (ways,), "float32"),),
        adaptation=Recipe(
            pictures=IMAGES | images,
            targets=(ArraySpec("targets", (), "int32"),),
            loss={"name": "cross_entropy"},
        ),
    )


def assert_is(task) -> None:
    names = sorted(CLASSES)
    assert task.classes == tuple(names)
    assert task.train.targets.tolist() == [n for n in range(4) for _ in range(EACH)]
    expected = np.concatenate([CLASSES[name] for name in names])
    np.testing.assert_array_equal(task.train.inputs["images"], expected)


LAYOUTS = {
    "plain": lambda c, f: f"{c}/{f}",
    "images": lambda c, f: f"{c}/images/{f}",
    "two deeper": lambda c, f: f"{c}/a/b/{f}",
    "some deeper": lambda c, f: f"{c}/{f}" if f == "0.png" else f"{c}/more/{f}",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("litter", [None, *LITTER])
def test_layouts_and_litter(layout, litter, tmp_path):
    lines: list[str] = []
    for task in ("one", "two"):
        files = {f"{task}/{LAYOUTS[layout](*n.split('/'))}": c for n, c in FILES.items()}
        if litter:
            files |= {f"{task}/{litter}": b"junk", f"{task}/asp/{litter}": b"junk", litter: b"junk"}
        write_files(tmp_path, files)
    paths = task_paths(str(tmp_path), log=lines.append)
    assert list(paths) == ["one", "two"]
    assert task_paths(paths["one"]) == {"one": paths["one"]}
    for path in paths.values():
        assert_is(read_task(path, info(), log=lines.append))
    assert lines == []


def picture(orientation: int, mode: str) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, [5, 9, 4]).astype(np.uint8)
    made = Image.fromarray(pixels) if mode == "RGBA" else Image.fromarray(pixels).convert(mode)
    if mode == "I;16":
        made = Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    made.save(file, "PNG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("exif", [True, False])
@pytest.mark.parametrize("interpolation", ["lanczos", "bilinear"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "L", "1", "I;16"])
def test_training_and_adapting_see_the_same(mode, interpolation, exif, tmp_path):
    content = {f"a/{n}.png": picture(n, mode) for n in range(1, 9)}
    splits = {split: {f"{split}/{split}{n}": c for n, c in content.items()}
              for split in ("train", "val", "test")}  # fmt: skip
    other = {f"val/z/{n}.png": png(CLASSES["bear"][0]) for n in range(1, 9)}
    files = splits["train"] | other | {f"test/y/{n}.png": png(CLASSES["asp"][0]) for n in range(9)}
    folder = write_files(tmp_path / "set", files)
    train = load_image_folder(
        folder, image_size=SIZE, interpolation=interpolation, exif=exif, log=lambda _: None
    )["train"]
    task = write_files(tmp_path / "task", content)
    read = read_task(task, info(1, interpolation=interpolation, exif=exif))
    np.testing.assert_array_equal(read.train.inputs["images"], train.images)


def test_an_older_backbone_knows_no_exif(tmp_path):
    facts = info(1)
    del facts.adaptation.pictures["exif"]
    task = write_files(tmp_path, {"a/0.png": picture(6, "RGB"), "a/1.png": picture(1, "RGB")})
    first, second = read_task(task, facts).train.inputs["images"]
    np.testing.assert_array_equal(first, second)


def test_spellings_of_a_class(tmp_path):
    forms = [unicodedata.normalize(form, "\u00e9l\u00e9phant") for form in ("NFC", "NFD")]
    files = {f"{forms[n % 2]}/{n}.png": c for n, c in enumerate(FILES.values())}
    task = read_task(write_files(tmp_path, files), info(1))
    assert task.classes == (forms[0],)
    assert len(task.train.targets) == len(FILES)


def test_what_is_left_out_is_said(tmp_path):
    lines: list[str] = []
    files = {f"one/{name}": content for name, content in FILES.items()}
    files |= {"one/asp/a.heic": b"x", "one/b.txt": b"x", "notes.txt": b"x", "two.zip": b"x"}
    files |= {"empty/readme.md": b"x"}
    paths = task_paths(write_files(tmp_path, files), log=lines.append)
    assert list(paths) == ["one"]
    assert_is(read_task(paths["one"], info(), log=lines.append))
    assert "3 of 4 entries" in lines[0] and "empty, notes.txt, two.zip" in lines[0]
    assert "2 files" in lines[1] and "one/asp/a.heic" not in lines[1] and "asp/a.heic" in lines[1]


UNCLEAR = {
    "a class beside tasks": ({"one/asp/0.png", "one/eel/0.png", "bear/0.png"}, "beside tasks"),
    "an NPZ beside classes": ({"asp/0.png", "eel/0.png", "one.npz"}, "beside tasks"),
    "one name twice": ({"one/asp/0.png", "one/eel/0.png", "one.npz"}, "one name"),
    "nothing": ({"one/readme.md"}, "no task"),
    "pictures alone": ({"0.png", "1.png"}, "no task"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_is_unclear_is_refused(case, tmp_path):
    names, words = UNCLEAR[case]
    folder = write_files(tmp_path, dict.fromkeys(names, png(CLASSES["asp"][0])))
    with pytest.raises(DataError, match=words):
        task_paths(folder)


@pytest.mark.parametrize("name", ["one.npz", "one.NPZ", "one"])
def test_names_of_tasks(name, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    assert list(task_paths(str(tmp_path / name))) == ["one"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": (30, 2**20), "targets": (30,)}, "has shape"),
        ({"more": (30, 2**20), "images": (3, SIZE, SIZE, 3), "targets": (3,)}, "more"),
        ({"images": (400_000, SIZE, SIZE, 3), "targets": (400_000,)}, "unpack to"),
    ],
)
def test_what_does_not_fit_is_never_unpacked(arrays, words, tmp_path, monkeypatch):
    path = str(tmp_path / "task.npz")
    zeros: Any = {name: np.zeros(shape, np.uint8) for name, shape in arrays.items()}
    np.savez_compressed(path, **zeros)
    monkeypatch.setattr("numpy.lib.npyio.NpzFile.__getitem__", None)
    with pytest.raises(DataError, match=words):
        read_task(path, info())
