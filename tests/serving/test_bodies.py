"""Bodies of every kind: too large, too slow, badly packed or framed; each ends with a 4xx."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import math
import tracemalloc
import zlib

import pytest

from meta_shrink import UsageError
from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.serving.predict_request import parse_predict
from tests.serving.clients import PREDICT, serving
from tests.serving.fakes import fake_info

GOOD = b'{"instances": [[1, 2]]}'
SECRET = b"secret4711"
MIB = 2**20


def sent(directory, *parts: bytes, **options) -> bytes:
    """All that the server answers to these bytes on one connection; it closes it at the end."""

    async def run():
        async with serving(directory, **options) as (client, _, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
            for part in parts:
                writer.write(part)
                await writer.drain()
            answer = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            return answer

    return asyncio.run(run())


def request(body: bytes, *headers: str, length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    lines = [f"POST {PREDICT} HTTP/1.1", "Host: x", "Connection: close", *headers]
    if length >= 0:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


CHUNKED = "Transfer-Encoding: chunked"
RIGHT = {
    "plain": request(GOOD),
    "gzip": request(gzip.compress(GOOD), "Content-Encoding: gzip"),
    "deflate": request(zlib.compress(GOOD), "Content-Encoding: deflate"),
    "chunked": request(b"5\r\n" + GOOD[:5] + b"\r\n12\r\n" + GOOD[5:] + b"\r\n0\r\n\r\n", CHUNKED,
                       length=-1),
    "in blanks": request(b" \r\n\t" + GOOD + b" \n"),
}  # fmt: skip
WRONG = {
    "gzip that is none": (400, request(SECRET * 9, "Content-Encoding: gzip")),
    "gzip cut off": (400, request(gzip.compress(GOOD)[:-12], "Content-Encoding: gzip")),
    "gzip flipped": (400, request(gzip.compress(GOOD)[:12] + SECRET, "Content-Encoding: gzip")),
    "gzip of much": (413, request(gzip.compress(b"0" * 40 * MIB), "Content-Encoding: gzip")),
    "deflate that is none": (400, request(SECRET * 9, "Content-Encoding: deflate")),
    "chunk without a size": (400, request(SECRET + b"\r\n\r\n", CHUNKED, length=-1)),
    "chunk longer than its size": (400, request(b"1\r\n" + SECRET + b"\r\n", CHUNKED, length=-1)),
    "negative chunk": (400, request(b"-5\r\n" + SECRET + b"\r\n", CHUNKED, length=-1)),
    "length and chunks": (400, request(b"0\r\n\r\n", CHUNKED)),
    "two lengths": (400, request(GOOD, "Content-Length: 5")),
    "negative length": (400, request(GOOD, "Content-Length: -5", length=-1)),
    "length in words": (400, request(GOOD, "Content-Length: secret4711", length=-1)),
    "no body": (400, request(b"", length=-1)),
    "header without a name": (400, request(GOOD, ": secret4711")),
    "header of 100 kB": (400, request(GOOD, "X: " + "secret4711" * 10_000)),
    "no HTTP": (400, SECRET + b"\r\n\r\n"),
    "other version": (400, f"POST {PREDICT} HTTP/9.9\r\n\r\n".encode()),
    "long by its length": (413, request(b"", length=2**40)),
    "not UTF-8": (400, request(b'{"instances": "\xff"}')),
    "with a mark of order": (400, request(b"\xef\xbb\xbf" + GOOD)),
    "UTF-16": (400, request(GOOD.decode().encode("utf-16"))),
    "more behind it": (400, request(GOOD + SECRET)),
    "key twice": (400, request(GOOD[:-1] + b', "instances": [[1, 2]]}')),
    "unknown key first": (400, request(b'{"secret": ' + GOOD + b"}")),
    "number of 5000 digits": (400, request(b'{"instances": [[' + b"4711" * 2000 + b", 1]]}")),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_right_bodies(case, tmp_path):
    answer = sent(tmp_path, RIGHT[case])
    assert status(answer) == 200
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"predictions": [[3.0] * 4]}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_bodies(case, tmp_path, caplog):
    """A status of the client's, no version of ours, and nothing of what it sent in the log."""
    expected, content = WRONG[case]
    with caplog.at_level(logging.DEBUG):
        answer = sent(tmp_path, content)
    assert status(answer) == expected
    assert b"aiohttp" not in answer
    assert b"Python" not in answer
    logged = [
        record.getMessage() + (record.exc_text or "") + str(record.exc_info)
        for record in caplog.records
        if record.name != "asyncio" or record.levelno > logging.DEBUG
    ]
    assert not any(SECRET.decode() in line or "Traceback" in line for line in logged)


SLOW = {
    "nothing of a length": request(b"", length=1000),
    "a part of a length": request(GOOD, length=1000),
    "no size of a chunk": request(b"", CHUNKED, length=-1),
    "a part of a chunk": request(b"40\r\n" + GOOD, CHUNKED, length=-1),
    "no last chunk": request(b"17\r\n" + GOOD + b"\r\n", CHUNKED, length=-1),
    "a part of gzip": request(gzip.compress(GOOD)[:9], "Content-Encoding: gzip", length=99),
}


@pytest.mark.parametrize("case", SLOW)
def test_slow_bodies(case, tmp_path):
    """The rest never comes."""
    content = SLOW[case]
    assert status(sent(tmp_path, content, body_seconds=0.1)) == 408


@pytest.mark.parametrize("name", ["body_seconds", "max_body_bytes"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1e300, None])
def test_options(name, value, tmp_path):
    with pytest.raises(UsageError, match=f"^{name} is .*; expected a"):
        sent(tmp_path, request(GOOD), **{name: value})


def test_too_many_bodies_at_a_time(tmp_path, monkeypatch):
    """Two that have come but for one byte are more than the two halves that may be held."""
    monkeypatch.setattr("meta_shrink.serving.request_body.BODIES", 1)

    async def run():
        async with serving(tmp_path, max_body_bytes=1000) as (client, _, _):
            slow = [
                await asyncio.open_connection("127.0.0.1", client.server.port) for _ in range(2)
            ]
            answers = []
            for reader, writer in slow:
                writer.write(request(b"0" * 900, length=901))
                await writer.drain()
                await asyncio.sleep(0.05)
                answers.append(reader)
            first = await asyncio.wait_for(answers[1].read(), 30)
            slow[0][1].close()
            await asyncio.sleep(0.05)
            async with client.post(PREDICT, data=GOOD) as response:
                return status(first), response.status

    assert asyncio.run(run()) == (429, 200)


def filled(start: bytes, item: bytes, end: bytes) -> bytes:
    """4 MiB of one thing."""
    return start + item * (4 * MIB // len(item)) + item.rstrip(b",") + end


MANY = {
    "rows of a number": filled(b'{"instances": [', b"0,", b"]}"),
    "rows of lists": filled(b'{"instances": [', b"[],", b"]}"),
    "rows of objects": filled(b'{"instances": [', b"{},", b"]}"),
    "rows": filled(b'{"instances": [', b"[1,2],", b"]}"),
    "one row": filled(b'{"instances": [[', b"0,", b"]]}"),
    "one row of lists": filled(b'{"instances": [[', b"[],", b"]]}"),
    "one row of objects": filled(b'{"instances": [[', b"{},", b"]]}"),
    "columns": filled(b'{"inputs": [', b"0,", b"]}"),
    "named columns": filled(b'{"inputs": {"x": [', b"0,", b"]}}"),
    "unknown columns": filled(b'{"inputs": {"y": [', b"0,", b"]}}"),
    "many columns": filled(b'{"inputs": {', b'"x":[],', b"}}"),
    "adapters": filled(b'{"adapter": [', b"0,", b'], "inputs": [[1, 2]]}'),
    "unknown key": filled(b'{"x": [', b"0,", b"]}"),
    "signature": filled(b'{"signature_name": [', b"0,", b"]}"),
    "list": filled(b"[", b"0,", b"]"),
    "long name": filled(b'{"', b"x", b'": 0}'),
    "blanks": filled(b"", b" ", b""),
    "deep objects": filled(b"", b'{"x":', b""),
    "deep lists": filled(b'{"instances": ', b"[ ", b""),
}


@pytest.mark.parametrize("case", MANY)
def test_what_is_too_much_is_never_built(case):
    """As text it is there twice, as bytes and as a str, which may take some more; not as rows."""
    tracemalloc.start()
    try:
        with pytest.raises(UsageError) as caught:
            parse_predict(MANY[case], fake_info(), max_rows=1024)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 14 * MIB
    assert len(str(caught.value)) < 300


def test_as_many_as_may_come():
    rows = 1024
    for text in (
        {"instances": [[1.5, 2]] * rows},
        {"instances": [{"x": [1.5, 2], "adapter": "a" * 64}] * rows},
        {"inputs": {"x": [[1.5, 2]] * rows}, "adapter": ["a"] * rows},
    ):
        for indent in (None, 1):
            body = json.dumps(text, indent=indent).encode()
            assert len(parse_predict(body, fake_info(), max_rows=rows).rows) == rows


def test_rows_of_any_length():
    info = fake_info(inputs=(ArraySpec("audio", (None, 1), "float32"),))
    body = json.dumps({"instances": [[[0.25]] * 10_000, [[1]]]}).encode()
    rows = parse_predict(body, info, max_rows=2).rows
    assert [row.inputs["audio"].shape for row in rows] == [(10_000, 1), (1, 1)]
