"""Whole adapters whose tensors are not those of the backbone, or are laid out otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

import pytest

from meta_shrink import AdapterError
from meta_shrink.adapters.canonical_json import sha256
from meta_shrink.adapters.command_line import main
from meta_shrink.adapters.reading import parse_adapter
from tests.adapters import samples
from tests.adapters.test_bad_contents import GOOD, INFO, INT8, PHI, TABLE, refused


def laid_out(content: bytes, entries: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A right file of these entries, one after another, of zeros."""
    sizes = {"F32": 4, "F16": 2, "BF16": 2, "I8": 1}
    table, end = {}, 0
    for name, entry in entries.items():
        begin, number = end, 1
        for size in entry["shape"]:
            number *= size
        end += number * sizes[entry["dtype"]]
        table[name] = {**entry, "data_offsets": [begin, end]}
    return samples.forged(content, table=table, payload=b"\0" * end)


def changed(content: bytes, name: str, **changes: Any) -> bytes:
    table = json.loads(samples.split(content)[0])
    del table["__metadata__"]
    return laid_out(content, {**table, name: {**table[name], **changes}})


WITHOUT_SCALE = json.loads(samples.split(INT8)[0])
del WITHOUT_SCALE["__metadata__"], WITHOUT_SCALE["conv/kernel:scale"]
LAYOUTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "tensor missing": ("missing", lambda: laid_out(GOOD, {n: TABLE[n] for n in [*TABLE][1:]})),
    "no tensor": ("missing", lambda: laid_out(GOOD, {})),
    "moment missing": (
        "missing",
        lambda: laid_out(GOOD, {n: e for n, e in TABLE.items() if "mean" not in n}),
    ),
    "scale missing": ("missing", lambda: laid_out(INT8, WITHOUT_SCALE)),
    "F16 in f32": ("dtype", lambda: changed(GOOD, "conv/bias", dtype="F16")),
    "I8 in f32": ("dtype", lambda: changed(GOOD, "conv/bias", dtype="I8")),
    "F16 moment": ("dtype", lambda: changed(GOOD, "norm/moving_mean", dtype="F16")),
    "F16 scale": ("dtype", lambda: changed(INT8, "conv/kernel:scale", dtype="F16")),
    "transposed": ("shape", lambda: changed(GOOD, "conv/kernel", shape=[4, 2, 3])),
    "flat": ("shape", lambda: changed(GOOD, "conv/kernel", shape=[24])),
    "longer": ("shape", lambda: changed(GOOD, "conv/bias", shape=[5])),
    "scalar as vector": ("shape", lambda: changed(GOOD, "gain", shape=[1])),
    "scale of one": ("shape", lambda: changed(INT8, "conv/kernel:scale", shape=[])),
    "other encoding": ("dtype", lambda: samples.forged(GOOD, facts={"encoding": "f16"})),
    "not int8": ("missing", lambda: samples.forged(GOOD, facts={"encoding": "int8_delta"})),
}  # fmt: skip


@pytest.mark.parametrize("case", LAYOUTS)
def test_layout(case):
    code, make = LAYOUTS[case]
    refused(make(), code)


@pytest.mark.parametrize("encoding", ["f32", "f16", "bf16", "int8_delta"])
def test_tensors_stand_in_one_order(encoding):
    """All orders hold the same numbers, and each has a hash of its own: one of them is right."""
    content = samples.encoded(INFO, encoding)
    header, payload = samples.split(content)
    table = json.loads(header)
    del table["__metadata__"]
    loaded = set()
    for order in permutations(table):
        entries, parts, end = {}, [], 0
        for name in order:
            begin, stop = table[name]["data_offsets"]
            parts.append(payload[begin:stop])
            entries[name] = {**table[name], "data_offsets": [end, end + stop - begin]}
            end += stop - begin
        other = samples.forged(content, table=entries, payload=b"".join(parts))
        if list(order) == list(table):
            loaded.add(parse_adapter(other, INFO, default=PHI).id)
        else:
            with pytest.raises(AdapterError) as caught:
                parse_adapter(other, INFO, default=PHI)
            assert caught.value.code == "header"
    assert loaded == {sha256(content)}


def test_another_order_is_refused_without_a_backbone(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(laid_out(GOOD, {name: TABLE[name] for name in reversed(TABLE)}))
    assert main(["verify", str(path)]) == main(["inspect", str(path)]) == 4


def test_unaligned_tensors():
    table = json.loads(samples.split(samples.encoded(INFO, "f16"))[0])
    table = {name: table[name] for name in reversed(table) if name != "__metadata__"}
    table["gain"]["shape"], info = [1], INFO  # 2 bytes, and float32 after them.
    entries = {"gain": table["gain"], **{n: e for n, e in table.items() if n != "gain"}}
    content = laid_out(samples.encoded(info, "f16"), entries)
    assert "not aligned" in refused(content, "header")
