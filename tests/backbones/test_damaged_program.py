"""A bit flipped anywhere in an exported backbone is found; nothing half-written is left."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from meta_shrink import ArtefactError, Backbone, save_backbone
from meta_shrink.backbones import writing
from meta_shrink.errors import DiskError, InUseError
from meta_shrink.runs.locks import only_process_in

FILES = ["saved_model.pb", "variables/variables.index", "assets.extra/backbone.json"]
FILES += ["assets.extra/default.safetensors"]


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_a_typed_error(folder, tmp_path, name):
    version = Path(shutil.copytree(folder, tmp_path / "copy")) / "1"
    path, draw = version / name, random.Random(name)
    content = path.read_bytes()
    positions = draw.sample(range(len(content)), 12 if name == "saved_model.pb" else 6)
    for position in positions:
        flipped = bytearray(content)
        flipped[position] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        if name.endswith(("backbone.json", ".index")):
            loaded_right_or_refused(version)
        else:
            with pytest.raises(ArtefactError) as caught:
                Backbone.load(str(version))
            assert "\n" not in str(caught.value)


def loaded_right_or_refused(version: Path) -> None:
    """A bit that nothing depends on may differ (load compares the weights); any other may not."""
    try:
        Backbone.load(str(version))
    except ArtefactError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("put", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
@pytest.mark.parametrize(
    "name", [*FILES, "variables/variables.data-00000-of-00001", "fingerprint.pb"]
)
def test_a_pipe_or_a_device_in_place_of_a_file_does_not_hang(folder, tmp_path, name, put):
    version = Path(shutil.copytree(folder, tmp_path / "copy")) / "1"
    (version / name).unlink()
    put(version / name)
    with pytest.raises(ArtefactError):
        Backbone.load(str(version))


FAILURES = [
    OSError(28, os.strerror(28)),
    tf.errors.ResourceExhaustedError(None, None, "No space left on device"),
]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("at", ["saved_model", "write_durably", "write_atomically"])
def test_a_full_disk_leaves_no_version(source, tmp_path, monkeypatch, at, failure):
    def fail(*_, **__):
        raise failure

    if at == "saved_model":
        monkeypatch.setattr(tf.saved_model, "save", fail)
    else:
        monkeypatch.setattr(writing, at, fail)
    with pytest.raises(DiskError, match="cannot be written") as caught:
        save_backbone(source, str(tmp_path))
    assert caught.value.exit_code == 4
    assert os.listdir(tmp_path) == [".lock"]


def test_leftovers_go_and_their_links_are_not_followed(source, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "victim").write_text("precious")
    out = tmp_path / "out"
    (out / ".unfinished-7" / "variables").mkdir(parents=True)
    (out / ".unfinished-1").symlink_to(elsewhere)
    save_backbone(source, str(out))
    assert sorted(os.listdir(out)) == [".lock", "1", "README.md"]
    assert (elsewhere / "victim").read_text() == "precious"


def test_two_exports_into_one_folder(source, tmp_path):
    with only_process_in(str(tmp_path)), pytest.raises(InUseError, match="in use by process"):
        save_backbone(source, str(tmp_path))
