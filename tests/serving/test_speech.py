"""Speaking over HTTP: what is asked for, what comes, and who waits for whom."""

from __future__ import annotations

import asyncio
import base64
import math

import numpy as np
import pytest

from meta_shrink import UsageError
from meta_shrink.serving.speech_request import SpeechLimits
from tests.serving.clients import post, serving
from tests.serving.fake_voices import FakeVoices
from tests.serving.fakes import put_adapter, put_broken, put_index

MODEL = "/v1/models/fake"
FEATURES = [[1, 0], [0, 2], [1, 1], [0, 0], [3, 0], [1, 0]]


def spoken(number: float, noise: float = 0.0) -> bytes:
    """The sound of FEATURES with the adapter of a number."""
    steps = number * np.sum(FEATURES, axis=1) + noise
    codes = np.cumsum(steps)
    return (2 * codes - np.append(0, codes[:-1])).astype(np.uint8).tobytes()


async def hear(client, name: str | None, request) -> tuple[int, bytes]:
    path = f"{MODEL}/voices:synthesize" if name is None else f"{MODEL}/voices/{name}:synthesize"
    async with client.post(path, json=request) as response:
        assert response.status != 200 or response.headers["Content-Type"] == "audio/wav"
        return response.status, await response.read()


def run(directory, talk, **options):
    """What `talk(client, voices, server)` returns."""

    async def go():
        voices = FakeVoices()
        async with serving(directory, voices=voices, **options) as (client, _, server):
            voices.network.batches.clear()
            return await talk(client, voices, server)

    return asyncio.run(go())


async def until(condition):
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came true")


def test_each_voice_speaks_as_alone_whoever_speaks_beside_it(tmp_path):
    numbers = [2.0, 3.0, 2.0, 5.0]
    keys = [put_adapter(tmp_path, number) for number in numbers]
    put_index(tmp_path, {"anna": keys[1]})

    async def talk(client, voices, server):
        voices.network.gate.clear()
        names = [keys[0], "anna", *keys[2:], None]
        asked = [{"features": FEATURES, "seed": n, "temperature": 0.5} for n in range(5)]
        answers = asyncio.gather(*map(hear, [client] * 5, names, asked))
        await until(lambda: b"meta_shrink_waiting_pieces 5.0" in server.metrics.text())
        assert b"meta_shrink_speaking 5.0" in server.metrics.text()
        voices.network.gate.set()
        return await answers, voices.network.batches, server.metrics.text()

    answers, batches, metrics = run(tmp_path, talk)
    expected = [spoken(number, n / 2) for n, number in enumerate([*numbers, 1.0])]
    assert answers == [(200, b"WAV 6 " + sound) for sound in expected]
    assert max(batches) > 1
    for line in (
        b"meta_shrink_spoken_samples_total 30.0",
        b"meta_shrink_real_time_factor_count 5.0",
        b"meta_shrink_speaking 0.0",
        b"meta_shrink_waiting_pieces 0.0",
        b"meta_shrink_adapters_pinned 0.0",
        b'meta_shrink_requests_total{route="/v1/models/fake/voices/{adapter}:synthesize",'
        b'status="200"} 4.0',
    ):
        assert line in metrics
    assert keys[0].encode() not in metrics and b"anna" not in metrics


def test_a_stream_comes_piece_by_piece(tmp_path):
    async def talk(client, voices, _):
        request = {"features": FEATURES, "stream": True}
        async with client.post(f"{MODEL}/voices:synthesize", json=request) as response:
            assert response.headers["Transfer-Encoding"] == "chunked"
            voices.network.gate.clear()
            first = await response.content.readany()
            voices.network.gate.set()
            return first, await response.read()

    first, rest = run(tmp_path, talk)
    assert first + rest == b"WAV None " + spoken(1.0)
    assert first.startswith(b"WAV None " + spoken(1.0)[:4])


def test_a_recording_is_spoken_like(tmp_path):
    like = base64.b64encode(bytes([1, 2, 3])).decode()

    async def talk(client, *_):
        good = {"like": like, "text": "one", "shift": 2}
        return [
            await hear(client, None, request)
            for request in (good, good | {"text": " "}, good | {"like": "?"}, good | {"like": 3})
        ] + [await hear(client, None, good | {"text": "t" * 9, "shift": 0})]

    answers = run(tmp_path, talk, speech_limits=SpeechLimits(max_text=8))
    assert answers[0] == (200, b"WAV 3 " + bytes([6, 11, 17]))
    for answer, word in zip(answers[1:], ("needs", "base64", "base64", "8 at most"), strict=True):
        assert answer[0] == 400 and word in answer[1].decode()


def test_a_text_alone_is_spoken(tmp_path):
    async def talk(client, *_):
        asked = ({"text": "ab", "shift": 2}, {"text": " "}, {"text": 3}, {"text": "t" * 9})
        return [await hear(client, None, request) for request in asked]

    answers = run(tmp_path, talk, speech_limits=SpeechLimits(max_text=8))
    assert answers[0] == (200, b"WAV 2 " + bytes([198, 2 * 199 - 99 - 256]))
    words = ("needs words", "needs words", "8 at most")
    for answer, word in zip(answers[1:], words, strict=True):
        assert answer[0] == 400 and word in answer[1].decode()


def test_what_is_wrong_is_said_before_anything_is_spoken(tmp_path):
    broken = put_broken(tmp_path)
    good = {"features": FEATURES}
    cases = [
        (None, good | {"features": [[1]]}, 400, "has the shape"),
        (None, good | {"features": []}, 400, "has the shape"),
        (None, good | {"features": [[0, 0]] * 11}, 400, "1.1 s of sound; expected 1 s"),
        (None, good | {"like": ""}, 400, "either"),
        (None, good | {"shift": 1}, 400, "belongs to"),
        (None, good | {"temperature": 11}, 400, "0 to 10"),
        (None, good | {"temperature": True}, 400, "number"),
        (None, good | {"seed": -1}, 400, "whole number"),
        (None, good | {"seed": 1.5}, 400, "whole number"),
        (None, good | {"stream": 1}, 400, "true or false"),
        (None, good | {"voice": "anna"}, 400, "unknown key"),
        (None, {}, 400, "either"),
        (None, [], 400, "either"),
        ("0" * 64, good, 404, "no adapter"),
        ("nobody", good, 404, "no adapter"),
        ("%20", good, 400, "is neither"),
        (broken, good, 503, "has to be replaced"),
    ]

    async def talk(client, voices, _):
        answers = [await hear(client, name, request) for name, request, *_ in cases]
        answers.append(await hear(client, None, good))
        return answers, voices.network.batches

    limits = SpeechLimits(max_seconds=1.0)
    answers, batches = run(tmp_path, talk, speech_limits=limits)
    for (status, content), (_, _, expected, words) in zip(answers[:-1], cases, strict=True):
        assert (status, words in content.decode()) == (expected, True), content
    assert answers[-1][0] == 200 and batches == [1, 1]


@pytest.mark.parametrize("name", SpeechLimits._fields)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1e300, True, "8"])
def test_limits_that_are_none(name, value, tmp_path):
    """NaN seconds would limit nothing, as no comparison with them is true."""

    async def talk(*_):
        raise AssertionError("it started")

    with pytest.raises(UsageError, match=f"^{name} is .*; expected a"):
        run(tmp_path, talk, speech_limits=SpeechLimits()._replace(**{name: value}))


def test_more_voices_than_places_are_refused(tmp_path):
    async def talk(client, voices, server):
        voices.network.gate.clear()
        first = asyncio.ensure_future(hear(client, None, {"features": FEATURES}))
        await until(lambda: b"meta_shrink_speaking 1.0" in server.metrics.text())
        second = await hear(client, None, {"features": FEATURES})
        voices.network.gate.set()
        return await first, second

    (first, _), (second, content) = run(tmp_path, talk, speech_limits=SpeechLimits(max_voices=1))
    assert (first, second) == (200, 429) and b"overloaded" in content


@pytest.mark.parametrize(("stream", "cancels"), [(False, False), (True, False), (True, True)])
def test_a_client_that_leaves_frees_its_place_and_its_adapter(tmp_path, stream, cancels):
    """cancels: whether aiohttp ends the handler itself; as the program runs it, it does not."""
    key = put_adapter(tmp_path, 2)

    async def talk(client, voices, server):
        voices.network.gate.clear()
        client.server.runner.server.handler_cancellation = cancels
        request = {"features": [[1, 0]] * 40, "stream": stream}
        asked = asyncio.ensure_future(hear(client, key, request))
        await until(lambda: b"meta_shrink_waiting_pieces 1.0" in server.metrics.text())
        assert b"meta_shrink_adapters_pinned 1.0" in server.metrics.text()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.sleep(0.05)
        voices.network.gate.set()
        await until(lambda: b"meta_shrink_speaking 0.0" in server.metrics.text())
        await until(lambda: b"meta_shrink_adapters_pinned 0.0" in server.metrics.text())
        return voices.network.batches

    assert sum(run(tmp_path, talk)) < 10


def test_a_network_that_fails_is_told_at_the_start_and_breaks_off_later(tmp_path):
    async def talk(client, voices, _):
        voices.network.refused_input = 7.0
        early = await hear(client, None, {"features": [[7, 0]], "stream": True})
        with pytest.raises(Exception, match=r"payload|closed|disconnected"):
            await hear(client, None, {"features": [*FEATURES, [7, 0]], "stream": True})
        return early, await hear(client, None, {"features": FEATURES})

    (status, content), later = run(tmp_path, talk)
    assert status == 500 and b"/etc" not in content
    assert later == (200, b"WAV 6 " + spoken(1.0))


def test_a_model_without_voices_says_so(tmp_path):
    async def go():
        async with serving(tmp_path) as (client, _, _):
            return [await post(client, {}, f"{MODEL}/voices{x}:synthesize") for x in ("/a", "")]

    for status, answer in asyncio.run(go()):
        assert (status, answer["code"]) == (404, "no_voices")
