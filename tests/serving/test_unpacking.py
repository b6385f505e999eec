"""Packed bodies: whole ones are read, all others refused; what is no packing of ours is told."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from tests.serving.test_bodies import GOOD, request, sent, status

# Without the time: the names of tests have it, and processes would collect others.
GZIP, DEFLATE = gzip.compress(GOOD, mtime=0), zlib.compress(GOOD)
RAW = zlib.compress(GOOD, wbits=-15)  # As some clients send "deflate".


def told(answer: bytes) -> str:
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", GZIP),
        ("GZip", GZIP),
        ("x-gzip", GZIP),
        (" gzip ,", GZIP),
        ("identity, gzip", GZIP),
        ("gzip", gzip.compress(GOOD, 0, mtime=0)),
        ("deflate", DEFLATE),
        ("deflate", RAW),
        ("identity", GOOD),
        ("", GOOD),
    ],
)
def test_what_is_packed_as_it_says(encoding, content, tmp_path):
    answer = sent(tmp_path, request(content, f"Content-Encoding: {encoding}"))
    assert (status(answer), answer.count(b"[3.0, 3.0, 3.0, 3.0]")) == (200, 1)


@pytest.mark.parametrize(
    ("encoding", "content"), [("gzip", GZIP), ("deflate", DEFLATE), ("deflate", RAW)]
)
def test_what_is_cut_off_anywhere(encoding, content, tmp_path):
    """The checksum at the end is of the body too: without it nobody knows what is missing."""
    for end in (*range(0, len(content) - 9, 7), *range(len(content) - 9, len(content))):
        answer = sent(tmp_path, request(content[:end], f"Content-Encoding: {encoding}"))
        assert status(answer) == 400, end
        assert end == 0 or f"its {encoding} has no end" in told(answer), end


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GZIP[:-8] + bytes([GZIP[-8] ^ 1]) + GZIP[-7:], "is no gzip"),  # The checksum.
        (GZIP[:-1] + b"x", "is no gzip"),  # The length.
        (GOOD, "is no gzip"),
        (DEFLATE, "is no gzip"),
        (GZIP + b" ", "more behind the end"),
        (GZIP + GZIP, "more behind the end"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_packed_otherwise_than_it_says(content, words, chunked, tmp_path):
    parts = [request(content, "Content-Encoding: gzip")]
    if chunked:  # A byte at a time.
        headers = ("Content-Encoding: gzip", "Transfer-Encoding: chunked")
        pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in content)
        parts = [request(pieces + b"0\r\n\r\n", *headers, length=-1)]
    answer = sent(tmp_path, *parts)
    assert status(answer) == 400 and words in told(answer)


@pytest.mark.parametrize(
    "headers",
    [
        ["compress"],
        ["br"],
        ["zstd"],
        ["secret4711"],
        ["gzip, gzip"],
        ["gzip", "br"],
        ["gzip;q=1"],
        ["x" * 5000],
    ],
)
@pytest.mark.parametrize("content", [GOOD, GZIP])
def test_an_unknown_packing_is_415(headers, content, tmp_path):
    """Taken as it is, packed numbers could pass for others."""
    answer = sent(tmp_path, request(content, *(f"Content-Encoding: {word}" for word in headers)))
    # aiohttp itself refuses two headers of this name.
    assert status(answer) == 415 if len(headers) == 1 else status(answer) in (400, 415)
    if status(answer) == 415:
        assert b"Accept-Encoding: gzip, deflate\r\n" in answer
        assert "send gzip, deflate or none" in told(answer) and len(told(answer)) < 300


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_unpacks_to_too_much_is_not_unpacked_whole(encoding, tmp_path):
    bomb = (gzip if encoding == "gzip" else zlib).compress(b" " * 2**26)
    answer = sent(tmp_path, request(bomb, f"Content-Encoding: {encoding}"), max_body_bytes=2**17)
    assert status(answer) == 413
    fits = b" " * (2**17 - len(GOOD)) + GOOD
    packed = request(gzip.compress(fits), "Content-Encoding: gzip")
    assert status(sent(tmp_path, packed, max_body_bytes=2**17)) == 200
    assert status(sent(tmp_path, packed, max_body_bytes=2**17 - 1)) == 413
