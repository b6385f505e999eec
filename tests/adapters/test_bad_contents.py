"""Contents that are no adapter: each has its code, quickly and in little memory."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from meta_shrink import AdapterError
from meta_shrink.adapters.reading import parse_adapter
from meta_shrink.errors import ADAPTER_CODES
from tests.adapters import samples

INFO = samples.backbone()
PHI = samples.phi(INFO)
GOOD = samples.encoded(INFO)
INT8 = samples.encoded(INFO, "int8_delta")
HEADER, PAYLOAD = samples.split(GOOD)
FIELDS = json.loads(HEADER)
MANIFEST = FIELDS["__metadata__"]
TABLE = {name: entry for name, entry in FIELDS.items() if name != "__metadata__"}


def refused(content: bytes, code: str, **options: Any) -> str:
    """The sentence with which a content is refused, without memory that its size does not say."""
    tracemalloc.start()
    with pytest.raises(AdapterError) as caught:
        parse_adapter(content, INFO, **{"default": PHI, **options})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == code, caught.value
    assert code in ADAPTER_CODES
    assert peak < 2**20 + 40 * len(content)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)
    return str(caught.value)


def with_length(length: int) -> bytes:
    return length.to_bytes(8, "little") + GOOD[8:]


def with_text(text: str | bytes) -> bytes:
    return samples.join(text.encode() if isinstance(text, str) else text, PAYLOAD)


def with_fields(fields: Any) -> bytes:
    return with_text(samples.spell(fields))


def with_entry(name: str = "conv/bias", **changes: Any) -> bytes:
    return with_fields({**FIELDS, name: {**FIELDS[name], **changes}})


def with_name(name: str) -> bytes:
    """One more tensor, at the end, in an otherwise right file."""
    size = len(PAYLOAD)
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [size, size + 4]}
    return samples.forged(GOOD, table={**TABLE, name: entry}, payload=PAYLOAD + b"\0" * 4)


def text_with(old: str, new: str) -> bytes:
    text = HEADER.decode().rstrip(" ")
    assert old in text
    return with_text(text.replace(old, new, 1))


BIAS = '"conv/bias":' + json.dumps(FIELDS["conv/bias"], separators=(",", ":"))
ESCAPED = BIAS.replace("c", chr(92) + "u0063", 1)
META = '"__metadata__":' + json.dumps(MANIFEST, separators=(",", ":"))
EMPTIES = {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(900)}

HEADERS: dict[str, Callable[[], bytes]] = {
    "length 2^63": lambda: with_length(2**63),
    "length 2^64-1": lambda: with_length(2**64 - 1),
    "length 10^8+1": lambda: with_length(10**8 + 1),
    "length 262,145": lambda: with_length(262_145),
    "length 0": lambda: with_length(0),
    "not UTF-8": lambda: with_text(b"\xff" + HEADER),
    "UTF-16": lambda: with_text(HEADER.decode().encode("utf-16")),
    "BOM": lambda: with_text(b"\xef\xbb\xbf" + HEADER),
    "list": lambda: with_text("[]"),
    "number": lambda: with_text("1"),
    "null": lambda: with_text("null"),
    "text": lambda: with_text('"x"'),
    "no JSON": lambda: with_text("{"),
    "two objects": lambda: with_text(HEADER + b"{}"),
    "[ x 60,000": lambda: with_text("[" * 240_000),
    "[ x 200,000": lambda: with_text("[" * 200_000),
    '{"a": x 10,000': lambda: with_text('{"a":' * 40_000),
    "digits x 60,000": lambda: with_text("9" * 240_000),
    "same tensor twice": lambda: text_with(BIAS, f"{BIAS},{BIAS}"),
    "tensor twice, other type": lambda: text_with(BIAS, f"{BIAS.replace('F32', 'F16')},{BIAS}"),
    "tensor twice, escaped": lambda: text_with(BIAS, f"{ESCAPED},{BIAS}"),
    "field twice": lambda: text_with('"dtype":"F32"', '"dtype":"F32","dtype":"F32"'),
    "metadata twice": lambda: text_with(META, f"{META},{META}"),
    "metadata key twice": lambda: text_with(META, META[:-1] + ',"meta_shrink":"{}"}'),
    "two metadata keys": lambda: with_fields({**FIELDS, "__metadata__": {**MANIFEST, "b": "c"}}),
    "other metadata key": lambda: with_fields({**FIELDS, "__metadata__": {"format": "pt"}}),
    "no metadata": lambda: with_fields(TABLE),
    "metadata no text": lambda: with_fields({**FIELDS, "__metadata__": {"meta_shrink": 1}}),
    "metadata no object": lambda: with_fields({**FIELDS, "__metadata__": "meta_shrink"}),
    "metadata last": lambda: with_fields({**TABLE, "__metadata__": MANIFEST}),
    "metadata of 270 kB": lambda: with_fields({"__metadata__": {"meta_shrink": " " * 270_000}}),
    "900 empty tensors": lambda: with_fields({**FIELDS, **EMPTIES}),
    "rank 9": lambda: with_entry(shape=[1] * 8 + [4]),
    "rank 33": lambda: with_entry(shape=[1] * 32 + [4]),
    "rank 65": lambda: with_entry(shape=[1] * 64 + [4]),
    "rank 5,000": lambda: with_entry(shape=[1] * 4999 + [4]),
    "shape overflows": lambda: with_entry(shape=[2**32, 2**32, 4]),
    "shape overflows to right": lambda: with_entry(shape=[2**62, 4, 4]),
    "shape [2^40, 0]": lambda: with_entry(shape=[2**40, 0], data_offsets=[0, 0]),
    "huge size": lambda: with_entry(shape=[10**4000]),
    "negative size": lambda: with_entry(shape=[-4]),
    "two negative sizes": lambda: with_entry(shape=[-2, -2]),
    "float size": lambda: with_entry(shape=[4.0]),
    "text size": lambda: with_entry(shape=["4"]),
    "true size": lambda: with_entry(shape=[True, 4]),
    "null shape": lambda: with_entry(shape=None),
    "text shape": lambda: with_entry(shape="4"),
    "overlap": lambda: with_entry("gain", data_offsets=[0, 4]),
    "hole": lambda: with_entry("gain", data_offsets=[116, 120]),
    "offset past the end": lambda: with_entry("gain", data_offsets=[10**9, 10**9 + 4]),
    "offsets reversed": lambda: with_entry(data_offsets=[16, 0]),
    "offset negative": lambda: with_entry(data_offsets=[-16, 0]),
    "offset float": lambda: with_entry(data_offsets=[0.0, 16.0]),
    "offset true": lambda: with_entry(data_offsets=[False, 16]),
    "three offsets": lambda: with_entry(data_offsets=[0, 16, 16]),
    "dtype unknown": lambda: with_entry(dtype="F31"),
    "dtype F64": lambda: with_entry(dtype="F64", shape=[2]),
    "dtype no text": lambda: with_entry(dtype=["F32"]),
    "field missing": lambda: with_fields({**FIELDS, "gain": {"dtype": "F32", "shape": []}}),
    "field too many": lambda: with_entry(extra=1),
    "entry null": lambda: with_fields({**FIELDS, "gain": None}),
    "name empty": lambda: with_name(""),
    "name NUL": lambda: with_name("a\0b"),
    "name bidi": lambda: with_name("a\u202eb"),
    "name escape": lambda: with_name("\x1b[2J"),
    "name of 10 kB": lambda: with_name("a" * 10_000),
    "name surrogate": lambda: text_with('"gain"', '"' + chr(92) + 'ud800"'),
    "blank in the header": lambda: text_with(BIAS, " " + BIAS),
    "blank first": lambda: with_text(b" " + HEADER),
    "padding too long": lambda: with_text(HEADER + b" " * 8),
    "padding of tabs": lambda: with_text(HEADER.rstrip().ljust(len(HEADER), b"\t")),
    "gz": lambda: gzip.compress(GOOD),
    "zip, .keras": lambda: zipped(GOOD),
    ".h5": lambda: b"\x89HDF\r\n\x1a\n" + GOOD,
    "pickle": lambda: b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix" + GOOD,
    "TFLite": lambda: b"\x1c\0\0\0TFL3" + GOOD,
    "ONNX": lambda: b"\x08\x07\x12\x07pytorch" + GOOD,
}  # fmt: skip


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model.weights.h5", content)
    return file.getvalue()


@pytest.mark.parametrize("case", HEADERS)
def test_header(case):
    refused(HEADERS[case](), "header")


@pytest.mark.parametrize(
    "content",
    [*(b"\0" * n for n in range(8)), with_length(len(GOOD) - 7), GOOD[:-1], GOOD + b"\0"],
    ids=len,
)
def test_size(content):
    refused(content, "size")


def test_every_truncation_is_refused():
    for length in range(len(GOOD)):
        with pytest.raises(AdapterError) as caught:
            parse_adapter(GOOD[:length], INFO)
        assert caught.value.code == "size"


def test_a_long_header_costs_no_memory():
    bombs = [
        with_text("[" * 60_000),
        with_text('{"a":' * 10_000),
        with_fields({"__metadata__": {"meta_shrink": " " * 50_000_000}}),
        with_fields({f"t{i}": {} for i in range(24_000)}),
        with_entry(shape=[1] * 80_000),
        with_text("9" * 60_000),
        with_fields({**FIELDS, "__metadata__": {"meta_shrink": "[" + "{}," * 80_000 + "{}]"}}),
    ]
    for bomb in bombs:
        tracemalloc.start()
        with pytest.raises(AdapterError):
            parse_adapter(bomb, INFO)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The content itself, already there, is the first time the size of the file. 256 KiB of
        # JSON become at most some 8 MB of objects.
        assert peak < max(len(bomb), 2**23), (bomb[:30], peak, len(bomb))


def test_pin():
    parse_adapter(GOOD, INFO, sha256=samples.sha256(GOOD))
    for pin in ("0" * 64, samples.sha256(GOOD).upper(), samples.sha256(GOOD)[:63], ""):
        refused(GOOD, "pin", sha256=pin)


def test_a_wrong_pin_comes_before_everything():
    refused(b"anything", "pin", sha256="0" * 64)


def with_bytes(content: bytes, name: str, value: np.ndarray) -> bytes:
    """A right file with other bytes in a tensor."""
    header, payload = samples.split(content)
    begin, end = json.loads(header)[name]["data_offsets"]
    data = value.tobytes()
    return samples.forged(
        content, payload=payload[:begin] + data[: end - begin] + payload[begin + len(data) :]
    )


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e38, -1e31])
def test_value(number):
    for name in ("conv/bias", "norm/moving_mean"):
        refused(with_bytes(GOOD, name, np.array([0, number], np.float32)), "value")


@pytest.mark.parametrize(("encoding", "bits"), [("f16", 0x7C00), ("f16", 0xFE01), ("bf16", 0xFF80)])
def test_value_of_half_the_bytes(encoding, bits):
    content = samples.encoded(INFO, encoding)
    refused(with_bytes(content, "conv/bias", np.array([bits], np.uint16)), "value")


@pytest.mark.parametrize("scale", [0.0, -0.0, -1.0, np.nan, np.inf, 1e38])
def test_scale(scale):
    refused(with_bytes(INT8, "conv/kernel:scale", np.array([scale], np.float32)), "scale")


def test_a_difference_needs_phi():
    refused(INT8, "default", default=None)
