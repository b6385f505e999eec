"""backbone.json with every field replaced by every kind of odd value: read right, or refused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meta_shrink import ArtefactError
from meta_shrink.adapters.backbone_info import (
    EXTRA,
    INFO_FILE,
    info_from_json,
    read_backbone_info,
)
from tests.adapters.samples import backbone

FIELDS = json.loads(backbone().to_json())
# Fields that may hold anything: what is written there is shown, or checked by who uses it.
FREE = ("selection", "metrics", "optimizer", "augment", "loss", "images")
ODD: tuple[Any, ...] = (None, True, -1, 2**70, 0.5, 1e300, "", "odd", [], [[]], {}, {"odd": 1})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value within."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if key not in FREE:
                yield from places(item, (*path, key))


def replaced(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    fields = json.loads(json.dumps(FIELDS))
    place = fields
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return fields


def without(path: tuple[Any, ...]) -> dict[str, Any]:
    fields = replaced(path, None)
    place = fields
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return fields


def same_kind(value: Any, other: Any) -> bool:
    numbers = (int, float)
    if type(value) in numbers and type(other) in numbers:
        return True
    return type(value) is type(other)


@pytest.mark.parametrize("path", list(places(FIELDS)), ids=lambda path: ".".join(map(str, path)))
def test_an_odd_value_is_refused_with_its_field(path):
    value = FIELDS
    for key in path:
        value = value[key]
    for odd in ODD:
        try:
            info = info_from_json(json.dumps(replaced(path, odd)).encode(), "backbone.json")
        except ArtefactError as error:
            assert "\n" not in str(error) and str(error).startswith("backbone.json ")
        else:  # Accepted: another value of the same kind, or None where there may be none.
            assert same_kind(odd, value) or None in (odd, value), (path, odd)
            assert json.loads(info.to_json())  # All of it can be used.


@pytest.mark.parametrize("path", list(places(FIELDS)), ids=lambda path: ".".join(map(str, path)))
def test_a_field_more_or_less(path):
    for fields in (without(path), replaced((*path[:-1], "unknown"), 1) if path[:-1] == () else {}):
        try:
            info_from_json(json.dumps(fields).encode(), "backbone.json")
        except ArtefactError as error:
            assert "\n" not in str(error)
        else:
            assert "unknown" not in fields


@pytest.mark.parametrize(
    "content",
    [b"", b"[" * 200_000, b'{"a":' * 100_000, b"null", b"[]", b"3", b"\xff\xfe", b'{"format": 3}'],
)
def test_no_object_of_a_backbone(content):
    with pytest.raises(ArtefactError, match=r"backbone\.json"):
        info_from_json(content, "backbone.json")


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_no_regular_file(tmp_path: Path, kind):
    extra = tmp_path / "1" / EXTRA
    extra.mkdir(parents=True)
    path = extra / INFO_FILE
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "elsewhere").write_bytes(backbone().to_json())
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtefactError):
        read_backbone_info(str(tmp_path))
