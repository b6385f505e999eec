"""Checkpoints of adapters, versions that come while one loads, exports that are cut off."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ArtefactError, Backbone, save_backbone
from meta_shrink.adapters.reading import Adapter
from meta_shrink.backbones.convert import from_checkpoint, to_checkpoint
from meta_shrink.backbones.full_disk import full_disk_told
from meta_shrink.backbones.litert import writing
from meta_shrink.errors import DiskError
from tests.backbones.sources import source_of


class Gain(keras.layers.Layer):
    """A number."""

    def build(self, shape: Any) -> None:
        self.gain = self.add_weight(name="gain", shape=(), initializer="ones")

    def call(self, inputs: Any) -> Any:
        return inputs * self.gain


def source(name: str = "last", layer: Any = None) -> Any:
    own = layer or keras.layers.Dense(1, name=name)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="first"), own])
    return source_of(model, [name], classification=False)


def backbone_of(folder: Any, *given: Any) -> Backbone:
    save_backbone(source(*given), str(folder))
    return Backbone.load(str(folder))


@pytest.mark.parametrize("name", ["last", "block.1", "a.b.c", "x..y"])
def test_a_checkpoint_comes_back_whatever_its_layers_are_called(tmp_path, name):
    backbone = backbone_of(tmp_path / "backbone", name)
    path = to_checkpoint(backbone.default, str(tmp_path / "adapter"))
    found = from_checkpoint(path, backbone.info)
    assert found.keys() == backbone.default.tensors.keys()
    for key, value in found.items():
        np.testing.assert_array_equal(value, backbone.default.tensors[key])


def test_a_number_that_is_missing_is_told(tmp_path):
    adapter: Adapter = backbone_of(tmp_path / "one").default
    path = to_checkpoint(adapter, str(tmp_path / "adapter"))
    other = backbone_of(tmp_path / "other", "gain", Gain(name="gain"))
    with pytest.raises(ArtefactError, match="has no gain/gain of shape"):
        from_checkpoint(path, other.info)


def test_a_version_that_comes_while_one_loads_is_not_mixed_with_it(tmp_path, monkeypatch):
    first, folder = source(), str(tmp_path)
    save_backbone(first, folder)
    load = tf.saved_model.load

    def slow(path: str, *given: Any, **how: Any) -> Any:
        loaded = load(path, *given, **how)
        monkeypatch.setattr(tf.saved_model, "load", load)
        moved = [value + 1 for value in first.meta.phi]
        save_backbone(first._replace(meta=first.meta._replace(phi=moved)), folder)
        return loaded

    monkeypatch.setattr(tf.saved_model, "load", slow)
    one, two = Backbone.load(folder), Backbone.load(folder)
    assert one.path.endswith("/1") and two.path.endswith("/2")


@pytest.mark.parametrize(
    ("message", "is_of_the_disk"),
    [
        ("OOM when allocating tensor with shape[100000,100000] on /job:localhost", False),
        ("The CPU implementation is unimplemented; sorry", False),
        ("{place}/1/variables/variables.data; No space left on device", True),
        ("{place}/1/variables/variables.data; Input/output error", True),
        ("/elsewhere/tmp; No space left on device", True),
    ],
)
@pytest.mark.parametrize(
    "error", [tf.errors.ResourceExhaustedError, tf.errors.UnknownError, tf.errors.InternalError]
)
def test_only_errors_of_files_are_told_as_those_of_the_disk(
    tmp_path, error, message, is_of_the_disk
):
    place = str(tmp_path / "out")
    with pytest.raises(DiskError if is_of_the_disk else error), full_disk_told(place):
        raise error(None, None, message.format(place=place))


@pytest.mark.parametrize("fails_at", range(4))
def test_an_export_to_a_device_is_whole_or_as_it_was(tmp_path, monkeypatch, fails_at):
    pytest.importorskip("ai_edge_litert")
    first, folder = source(), tmp_path / "device"
    writing.save_litert(first, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write, calls = writing.write_durably, iter(range(9))

    def full(path: str, content: bytes) -> None:
        if next(calls) == fails_at:
            raise OSError(28, "No space left on device", path)
        write(path, content)

    monkeypatch.setattr(writing, "write_durably", full)
    moved = [value + 1 for value in first.meta.phi]
    with pytest.raises(DiskError, match="free some space"):
        writing.save_litert(first._replace(meta=first.meta._replace(phi=moved)), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
