"""Speaking over HTTP: POST voices/ADAPTER:synthesize beside the predict API; answers are WAV.

An utterance is spoken piece by piece. Each piece is a row of a `Batcher` of its own, so utterances
of any adapters share what computes, one that begins waits for a piece and not for an utterance,
and one whose client has left is over with its piece.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import numpy as np
from aiohttp import web

from meta_shrink.adapters.reading import Adapter
from meta_shrink.errors import AdapterError, MetaShrinkError, Overloaded
from meta_shrink.serving.bank import AdapterBank
from meta_shrink.serving.batching import Batcher
from meta_shrink.serving.metadata import modules_of
from meta_shrink.serving.metrics import ServerMetrics
from meta_shrink.serving.options import MAX_SECONDS, MAX_VOICES, check_count, check_time
from meta_shrink.serving.protocol import ServedVoices
from meta_shrink.serving.request_body import BodyReader, require_client
from meta_shrink.serving.responses import json_response
from meta_shrink.serving.server_log import RepeatedLines, origin
from meta_shrink.serving.speech_request import SpeechLimits, SpeechRequest, parse_speech

STALL_SECONDS = 30.0  # For a client to take what a stream has for it.
_PAGE = Path(__file__).with_name("page.html")
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class SpeechHandlers:
    """The handlers of the voices of one model, and the page where they are tried.

    model: its name in URLs. bodies: shared with the predict API.
    """

    def __init__(
        self,
        voices: ServedVoices,
        bank: AdapterBank,
        metrics: ServerMetrics,
        *,
        model: str,
        bodies: BodyReader,
        limits: SpeechLimits,
    ) -> None:
        check_count("max_voices", limits.max_voices, most=MAX_VOICES)
        check_count("max_text", limits.max_text)
        check_time("max_seconds", limits.max_seconds, most=MAX_SECONDS)
        self._voices, self._bank, self._metrics = voices, bank, metrics
        self._bodies, self._limits = bodies, limits
        self._model = model
        self.speaking = 0  # Utterances that have begun and not ended.
        self._log = RepeatedLines()
        self._batcher = Batcher(
            voices.network,
            bank,
            max_batch=voices.at_a_time,
            max_delay_ms=0.0,
            max_queue=2 * limits.max_voices,  # A half for loads: a piece never finds it full.
        )

    @property
    def waiting(self) -> int:
        """Pieces that have no answer yet."""
        return self._batcher.waiting

    def add_routes(self, app: web.Application) -> None:
        """Below the path of the model, and the page at /."""
        model = f"/v1/models/{self._model}"
        app.router.add_get(f"{model}/voices", self._list)
        app.router.add_get(f"{model}/voices/", self._describe)
        app.router.add_get(f"{model}/voices/{{adapter}}", self._describe)
        app.router.add_post(f"{model}/voices/{{adapter}}:synthesize", self._synthesize)
        app.router.add_post(f"{model}/voices:synthesize", self._synthesize)
        app.router.add_get("/", self._page)

    def warm_up(self) -> None:
        """Speak a piece, so that no request pays for the compilation."""
        frame = np.zeros([1, self._voices.features.shape[1] or 0], np.float32)
        piece = next(iter(self._voices.pieces(frame, seed=0, temperature=1.0)))
        self._batcher.submit({**piece.inputs, **self._voices.silence()}).result()

    def close(self) -> None:
        """Ends what computes, once all that waits is answered."""
        self._batcher.close()

    async def _page(self, _: web.Request) -> web.Response:
        content = _PAGE.read_text(encoding="utf-8").replace("MODEL", self._model)
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        return web.Response(text=content, content_type="text/html", headers=headers)

    async def _list(self, _: web.Request) -> web.Response:
        return json_response(200, {"voices": self._bank.aliases()})

    async def _describe(self, request: web.Request) -> web.Response:
        network = self._voices.network
        async with self._pinned(request.match_info.get("adapter")) as adapter:
            modules = modules_of(network, adapter or network.default)
        return json_response(200, {"modules": modules})

    async def _synthesize(self, request: web.Request) -> web.StreamResponse:
        self._check_room()
        parse = partial(parse_speech, voices=self._voices, limits=self._limits)
        asked = await self._bodies.parsed(request, parse)
        async with self._admitted(), self._pinned(request.match_info.get("adapter")) as adapter:
            sound = self._sound(request, asked, adapter)
            if asked.stream:
                return await _streamed(request, self._voices.header(None), sound)
            content = b"".join([part async for part in sound])
        headers = {"Content-Type": "audio/wav"}
        return web.Response(body=self._voices.header(len(content)) + content, headers=headers)

    def _check_room(self) -> None:
        if self.speaking >= self._limits.max_voices:
            raise Overloaded(f"{self.speaking} voices are speaking already: try again later.")

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        """One of `max_voices` places, for the `async with`."""
        self._check_room()
        self.speaking += 1
        try:
            yield
        finally:
            self.speaking -= 1

    @asynccontextmanager
    async def _pinned(self, name: str | None) -> AsyncIterator[Adapter | None]:
        """The adapter that the name means now, kept until the utterance is over."""
        if name is None:
            yield None
            return
        try:
            adapter = await asyncio.to_thread(self._bank.acquire, name)
        except AdapterError as error:
            self._log.refused(name, error)
            raise
        try:
            yield adapter
        finally:
            self._bank.release(adapter)

    async def _sound(
        self, request: web.Request, asked: SpeechRequest, adapter: Adapter | None
    ) -> AsyncIterator[bytes]:
        """PCM, piece by piece, for as long as the client is there."""
        voices, sound = self._voices, self._voices.sounds()
        start, samples, state = time.perf_counter(), 0, voices.silence()
        for piece in voices.pieces(asked.features, seed=asked.seed, temperature=asked.temperature):
            require_client(request)
            answer = await self._answer({**piece.inputs, **state}, adapter)
            state = {name: answer[name] for name in state}
            if (codes := answer["codes"][piece.heard]).size:
                self._metrics.spoken_samples.inc(len(codes))
                samples += len(codes)
                yield sound(codes)
        seconds = len(asked.features) / voices.frames_per_second
        self._metrics.real_time_factor.observe(seconds / (time.perf_counter() - start))

    async def _answer(self, row: dict[str, np.ndarray], adapter: Adapter | None):
        key = None if adapter is None else adapter.id
        try:
            return await asyncio.wrap_future(self._batcher.submit(row, key))
        except MetaShrinkError:
            raise
        except Exception as error:
            self._log.say("network", f"the network failed on a piece: {origin(error)}")
            raise


async def _sent(response: web.StreamResponse, content: bytes) -> None:
    """A client that takes nothing would keep its place, and an adapter, for as long as it likes."""
    async with asyncio.timeout(STALL_SECONDS):
        await response.write(content)


async def _streamed(
    request: web.Request, header: bytes, sound: AsyncIterator[bytes]
) -> web.StreamResponse:
    """The sound as soon as it is there; a failure before the first of it is an error's answer."""
    first = await anext(sound)
    response = web.StreamResponse(headers={"Content-Type": "audio/wav"})
    await response.prepare(request)
    try:
        await _sent(response, header + first)
        async for part in sound:
            await _sent(response, part)
    except Exception as error:
        # What has begun cannot become an error any more: it ends without its end.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("The sound broke off.") from error
    await response.write_eof()
    return response
