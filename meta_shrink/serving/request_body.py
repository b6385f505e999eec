"""Bodies of requests: bounded in bytes, one and all together, and in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aiohttp import web

from meta_shrink.errors import Overloaded, UsageError
from meta_shrink.serving.options import MAX_BODY_BYTES, MAX_SECONDS, check_count, check_time
from meta_shrink.serving.unpacking import Unpacker, unpacker_of

BODIES = 8  # So many of the largest ones are held at a time.
PARSERS = 2  # Requests parsed at a time, of which each may take some times its bytes.
Parsed = TypeVar("Parsed")


class SlowBody(UsageError):
    """A body that did not come in time."""


def require_client(request: web.Request) -> None:
    """Raises ConnectionResetError where nobody waits for an answer any more."""
    if request.transport is None or request.transport.is_closing():
        raise ConnectionResetError("The client has left.")


class BodyReader:
    """Reads bodies of at most `max_bytes`, unpacked, within `seconds` each."""

    def __init__(self, *, max_bytes: int, seconds: float) -> None:
        check_count("max_body_bytes", max_bytes, most=MAX_BODY_BYTES)
        check_time("body_seconds", seconds, most=MAX_SECONDS)
        self._max_bytes, self._seconds = max_bytes, seconds
        self._held = 0
        self._parsers = asyncio.Semaphore(PARSERS)

    async def parsed(self, request: web.Request, parse: Callable[[bytearray], Parsed]) -> Parsed:
        """What `parse` makes of the body; raises as `body` and `parse` do."""
        async with self.body(request) as body, self._parsers:
            require_client(request)  # It may have waited; a recording takes seconds to be heard.
            # In threads: megabytes of JSON must not hold up other requests.
            return await asyncio.to_thread(parse, body)

    @asynccontextmanager
    async def body(self, request: web.Request) -> AsyncIterator[bytearray]:
        """The body, whose bytes count as held within the `async with`.

        Raises:
          HTTPRequestEntityTooLarge: it is too long.
          HTTPUnsupportedMediaType: it is packed in a way that is not known here.
          Overloaded: too many are held.
          SlowBody, UsageError: it comes too slowly, or is not framed or packed as it says.
        """
        if (length := request.content_length or 0) > self._max_bytes:
            raise web.HTTPRequestEntityTooLarge(self._max_bytes, length)
        unpacker = unpacker_of(request)
        body = bytearray()
        try:
            await self._read(request, unpacker, body)
            yield body
        finally:
            self._held -= len(body)

    async def _read(self, request: web.Request, unpacker: Unpacker | None, body: bytearray) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                async for part in _parts(request):
                    if unpacker is not None:  # A byte too many is enough to refuse it.
                        part = unpacker.unpack(part, self._max_bytes - len(body) + 1)
                    body += part
                    self._held += len(part)
                    if len(body) > self._max_bytes:
                        raise web.HTTPRequestEntityTooLarge(self._max_bytes, len(body))
                    if self._held > BODIES * self._max_bytes:
                        raise Overloaded("Too many large requests are read: try again later.")
                if unpacker is not None:
                    unpacker.end()
        except TimeoutError:
            raise SlowBody(f"The body has to come within {self._seconds:g} seconds.") from None


async def _parts(request: web.Request) -> AsyncIterator[bytes]:
    """What comes, as it comes; aiohttp raises a dozen types for bad framing."""
    while True:
        try:
            part = await request.content.readany()
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            raise UsageError(
                f"The body is not framed as its headers say ({type(error).__name__})."
            ) from None
        if not part:
            return
        yield part
