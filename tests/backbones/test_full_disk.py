"""A full disk while TensorFlow writes: one sentence, nothing half-written."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meta_shrink import Adapter, Backbone, save_backbone, save_litert
from meta_shrink.backbones.convert import to_checkpoint
from meta_shrink.errors import DiskError
from tests.backbones.litert.litert_sources import network
from tests.backbones.sources import source_of

SOURCE = source_of(network(), ["output"])


@contextmanager
def room_for(number: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Adapter:
    folder = str(tmp_path_factory.mktemp("backbone"))
    save_backbone(SOURCE, folder)
    return Backbone.load(folder).default


def as_backbone(folder: Path, _: Adapter) -> None:
    save_backbone(SOURCE, str(folder))


def as_litert(folder: Path, _: Adapter) -> None:
    pytest.importorskip("ai_edge_litert")
    save_litert(SOURCE, str(folder))


def as_checkpoint(folder: Path, adapter: Adapter) -> None:
    to_checkpoint(adapter, str(folder / "adapter"))


@pytest.mark.parametrize("limit", [0, 2_000])
@pytest.mark.parametrize("write", [as_backbone, as_litert, as_checkpoint])
def test_no_room_is_told_in_one_sentence(
    write: Callable[[Path, Adapter], None], limit, adapter, tmp_path
):
    with room_for(limit), pytest.raises(DiskError, match="free some space") as told:
        write(tmp_path / "out", adapter)
    assert told.value.exit_code == 4
    assert "node" not in str(told.value) and "\n" not in str(told.value)
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [path for path in left if path.name != ".lock" and not path.stat().st_size], left
    assert not list(tmp_path.rglob("*.tmp"))
