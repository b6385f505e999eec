"""A reference server over HTTP: TensorFlow Serving's predict API (`rest`), health and metrics.

It loads nothing that a request names by a path, and has no endpoint that changes anything. Who may
ask is a matter of tokens (`tokens`), if there are any; put what encrypts in front of it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import numpy as np
from absl import logging
from aiohttp import web

from meta_shrink.adapters.probe import probe_inputs
from meta_shrink.errors import AdapterError, MetaShrinkError, UsageError
from meta_shrink.serving import metadata, rest
from meta_shrink.serving.bank import AdapterBank
from meta_shrink.serving.batching import Batcher
from meta_shrink.serving.metrics import ServerMetrics, Snapshot
from meta_shrink.serving.predict_request import RowRequest, parse_predict
from meta_shrink.serving.protocol import ServedBackbone, ServedVoices
from meta_shrink.serving.request_body import BodyReader
from meta_shrink.serving.responses import json_response, refusal, response_of
from meta_shrink.serving.server_log import RepeatedLines, keep_to_ourselves, origin
from meta_shrink.serving.speech_handlers import SpeechHandlers
from meta_shrink.serving.speech_request import SpeechLimits
from meta_shrink.serving.tokens import Tokens

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._-]")
# To all, tokens or not: whoever watches the server has none, and the page asks for one.
_OPEN = ("/healthz", "/readyz", "/")
LINGER_SECONDS = 1.0  # For the rest of a body that was refused; then the connection is closed.


class Server:
    """The handlers of one model; `application()` is what aiohttp runs.

    name: of the model in URLs; by default that of the backbone, with "_" for what URLs do not take.
    max_body_bytes, body_seconds: of the body of a request. tokens: who may ask; None is all.
    voices: those of the backbone, if it speaks; speech_limits: of what they are asked for.
    batching: options of `Batcher`.
    """

    def __init__(
        self,
        backbone: ServedBackbone,
        bank: AdapterBank,
        *,
        name: str = "",
        max_body_bytes: int = 16 * 2**20,
        body_seconds: float = 10.0,
        tokens: Tokens | None = None,
        voices: ServedVoices | None = None,
        speech_limits: SpeechLimits | None = None,
        max_batch: int = 32,
        max_queue: int = 1024,
        **batching: Any,
    ) -> None:
        self.name = name or _NOT_IN_NAME.sub("_", backbone.info.name)[:64]
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"The model's name is {self.name!r}; expected 1 to 64 of A-Za-z0-9._-")
        if "adapter" in {spec.name for spec in backbone.info.inputs}:
            raise UsageError(
                'The network has an input called "adapter", which is what requests call the '
                "adapter: name the input otherwise and export again."
            )
        self._backbone, self._bank = backbone, bank
        self._max_batch, self._max_queue = max_batch, max_queue
        self._bodies = BodyReader(max_bytes=max_body_bytes, seconds=body_seconds)
        self._tokens = tokens
        self._refused, self._failed = RepeatedLines(), RepeatedLines()
        self.metrics = ServerMetrics(self._snapshot)
        self._ready = False
        self._batcher = Batcher(
            backbone,
            bank,
            max_batch=max_batch,
            max_queue=max_queue,
            on_batch=self.metrics.batch,
            **batching,
        )
        self._speech = (
            None
            if voices is None
            else SpeechHandlers(
                voices,
                bank,
                self.metrics,
                model=self.name,
                bodies=self._bodies,
                limits=speech_limits or SpeechLimits(),
            )
        )

    def application(self) -> web.Application:
        """The routes; ready once started, and done with all requests when cleaned up."""
        keep_to_ourselves()
        app = web.Application(
            middlewares=[self._count, self._errors, self._authenticate],
            # `unpacking` unpacks.
            handler_args={"lingering_time": LINGER_SECONDS, "auto_decompress": False},
        )
        model = f"/v1/models/{self.name}"
        app.router.add_get(model, self._get_status)
        app.router.add_get(f"{model}/metadata", self._get_metadata)
        app.router.add_post(f"{model}:predict", self._predict)
        if self._speech:
            self._speech.add_routes(app)
        else:
            app.router.add_post(f"{model}/voices{{rest:.*}}", self._no_voices)
        app.router.add_get("/healthz", self._get_health)
        app.router.add_get("/readyz", self._get_readiness)
        app.router.add_get("/metrics", self._get_metrics)
        app.on_shutdown.append(self._stop)
        app.cleanup_ctx.append(self._running)
        return app

    def reload(self) -> None:
        """Read the aliases and tokens again; where they are damaged, the former ones stay."""
        for read in (self._bank.reload, *([self._tokens.reload] if self._tokens else [])):
            try:
                read()
            except MetaShrinkError as error:
                logging.error("%s", error)

    def warm_up(self) -> None:
        """Run the network on small and full batches, so that no request pays for its start."""
        adapters = [self._backbone.default] * 2
        for rows in {1, 2, self._max_batch}:
            inputs = {
                name: np.repeat(value, rows, axis=0)
                for name, value in probe_inputs(self._backbone.info).items()
            }
            index = np.arange(rows, dtype=np.int32) % min(rows, 2)
            self._backbone.predict_mixed(inputs, adapters[: min(rows, 2)], index)
        if self._speech:
            self._speech.warm_up()

    async def _running(self, _: web.Application) -> AsyncIterator[None]:
        await asyncio.to_thread(self.warm_up)
        self._ready = True
        yield
        await asyncio.to_thread(self._batcher.close)
        if self._speech:
            await asyncio.to_thread(self._speech.close)

    async def _stop(self, _: web.Application) -> None:
        """Called when the server stops to listen, while requests are still answered."""
        self._ready = False

    def _snapshot(self) -> Snapshot:
        spoken = (self._speech.speaking, self._speech.waiting) if self._speech else ()
        return Snapshot(self._bank.stats(), self._batcher.waiting, self._ready, *spoken)

    async def _predict(self, request: web.Request) -> web.Response:
        parse = partial(parse_predict, backbone=self._backbone.info, max_rows=self._max_queue)
        parsed = await self._bodies.parsed(request, parse)
        outcomes = await asyncio.gather(
            *(self._row(row) for row in parsed.rows), return_exceptions=True
        )
        status, content, codes = await asyncio.to_thread(rest.answer, parsed, outcomes)
        self._count_rows(len(outcomes), codes)
        return response_of(status, content)

    async def _row(self, row: RowRequest) -> dict[str, np.ndarray]:
        try:
            answer = await asyncio.wrap_future(self._batcher.submit(row.inputs, row.adapter))
        except AdapterError as error:
            self._refused.refused(row.adapter, error)
            raise
        except MetaShrinkError:
            raise
        except Exception as error:
            self._failed.say("network", f"the network failed on a row: {origin(error)}")
            raise
        self._refused.forget(row.adapter)
        return answer

    def _count_rows(self, rows: int, codes: list[str]) -> None:
        self.metrics.rows.labels("ok").inc(rows - len(codes))
        for code in codes:
            self.metrics.rows.labels(code).inc()

    async def _no_voices(self, _: web.Request) -> web.Response:
        sentence = f"The model {self.name!r} does not speak: its backbone has no voices."
        return json_response(404, rest.Problem(404, "no_voices", sentence).body())

    async def _get_status(self, _: web.Request) -> web.Response:
        return json_response(200, metadata.status(self._backbone, ready=self._ready))

    async def _get_metadata(self, _: web.Request) -> web.Response:
        return json_response(200, metadata.metadata(self._backbone, self.name))

    async def _get_health(self, _: web.Request) -> web.Response:
        return json_response(200, {"status": "ok"})

    async def _get_readiness(self, _: web.Request) -> web.Response:
        status, word = (200, "ready") if self._ready else (503, "stopping")
        return json_response(status, {"status": word})

    async def _get_metrics(self, _: web.Request) -> web.Response:
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        return web.Response(body=self.metrics.text(), headers={"Content-Type": content_type})

    @web.middleware
    async def _count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        start = time.perf_counter()
        response = await handler(request)
        resource = request.match_info.route.resource
        route = "other" if resource is None else resource.canonical  # Bounded: our own routes.
        self.metrics.requests.labels(route, str(response.status)).inc()
        self.metrics.request_seconds.labels(route).observe(time.perf_counter() - start)
        return response

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self._tokens is None or request.path in _OPEN:
            return await handler(request)
        if not self._tokens.accept(request.headers.get("Authorization")):
            raise web.HTTPUnauthorized(
                reason="Send Authorization: Bearer TOKEN, with a token that the server knows",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return await handler(request)

    @web.middleware
    async def _errors(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Every error as JSON."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            response = refusal(request, error, self.name)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            problem = rest.problem(error)
            if problem.status == 500:
                self._failed.say("request", f"a request failed: {origin(error)}")
            response = json_response(problem.status, problem.body())
        if not request.content.is_eof():  # What is left of the body is no request.
            response.force_close()
        return response
