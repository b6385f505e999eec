"""Clients that take nothing, or have left: what they had is free for others."""

from __future__ import annotations

import asyncio
import base64
import json
import threading

import pytest
from aiohttp import ClientSession, helpers, web

from meta_shrink.programs.serve import WAITS
from meta_shrink.serving import speech_handlers
from meta_shrink.serving.request_body import PARSERS
from meta_shrink.serving.speech_request import SpeechLimits
from tests.serving.test_speech import FEATURES, MODEL, hear, run, until


def test_a_client_that_takes_nothing_gives_its_place_back(tmp_path, monkeypatch):
    """The sound of a piece is more than its connection holds."""
    monkeypatch.setattr(speech_handlers, "STALL_SECONDS", 0.1)

    async def talk(client, voices, server):
        voices.sounds = lambda: lambda codes: bytes(2**24)
        request = {"features": FEATURES, "stream": True}
        async with client.post(f"{MODEL}/voices:synthesize", json=request) as response:
            await until(lambda: b"meta_shrink_speaking 0.0" in server.metrics.text())
            with pytest.raises(Exception, match=r"payload|closed|disconnected|reset"):
                await response.read()

    run(tmp_path, talk, speech_limits=SpeechLimits(max_voices=1))


def test_a_recording_of_a_client_that_left_while_others_are_heard_is_not_heard(tmp_path):
    started, go_on = [], threading.Event()

    async def talk(client, voices, server):
        like = voices.like

        def slow(sound, *arguments, **options):
            started.append(sound)
            go_on.wait(10)
            return like(sound, *arguments, **options)

        voices.like = slow
        sounds = [base64.b64encode(bytes([number])).decode() for number in range(1, 5)]
        requests = [{"like": sound, "text": "a"} for sound in sounds]
        asked = [asyncio.ensure_future(hear(client, None, request)) for request in requests]
        await until(lambda: len(started) == PARSERS)
        # All have come: two are heard, two wait.
        whole = sum(len(json.dumps(request)) for request in requests)
        await until(lambda: server._bodies._held == whole)
        leaving = next(n for n in range(4) if bytes([n + 1]) not in started)
        asked[leaving].cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked[leaving]
        await asyncio.sleep(0.05)
        go_on.set()
        await asyncio.gather(*asked[:leaving], *asked[leaving + 1 :])
        return bytes([leaving + 1])

    assert run(tmp_path, talk) not in started and len(started) == 3


def test_a_request_that_does_not_end_is_waited_for_as_often_as_we_count(monkeypatch):
    """Twice the grace would be more than Kubernetes gives."""
    waits, wait = [], helpers.ceil_timeout

    def counted(seconds, *more):
        waits.extend([seconds] if seconds == 0.125 else [])
        return wait(seconds, *more)

    async def talk():
        begun = asyncio.Event()

        async def handler(_: web.Request) -> web.Response:
            begun.set()
            await asyncio.sleep(60)
            return web.Response()

        app = web.Application()
        app.router.add_post("/", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.125)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with ClientSession() as session:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            asked = asyncio.ensure_future(session.post(url))
            await begun.wait()
            monkeypatch.setattr("aiohttp.web_protocol.ceil_timeout", counted)
            await runner.cleanup()
            with pytest.raises(Exception, match="disconnected"):
                await asked

    asyncio.run(talk())
    assert len(waits) == WAITS
