"""A headless Chromium, spoken to by its DevTools protocol: no driver is needed."""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")


def chromium() -> str | None:
    """Its program, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._numbers = socket, itertools.count(1)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    async def run(self, code: str) -> Any:
        """The value of JavaScript, of its promise if it is one."""
        options = {"awaitPromise": True, "returnByValue": True}
        result = await self.call("Runtime.evaluate", expression=code, **options)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, code: str) -> Any:
        """The value of JavaScript, once it is true."""
        for _ in range(3000):
            if value := await self.run(code):
                return value
            await asyncio.sleep(0.02)
        raise AssertionError(f"never true: {code}")


@asynccontextmanager
async def opened(url: str, folder: str) -> AsyncIterator[Page]:
    """A page of that address; folder: for what the browser writes."""
    program = chromium()
    assert program is not None
    command = [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        assert process.stderr is not None
        while not (found := re.search(rb"ws://([\d.:]+)/", await process.stderr.readline())):
            assert process.returncode is None
        async with aiohttp.ClientSession() as session:
            place = f"http://{found[1].decode()}/json/new?about:blank"
            async with session.put(place) as answer:
                target = await answer.json()
            address, limit = target["webSocketDebuggerUrl"], 64 * 2**20
            async with session.ws_connect(address, max_msg_size=limit) as socket:
                page = Page(socket)
                await page.call("Page.enable")
                await page.call("Page.navigate", url=url)
                await page.until(
                    f"location.href.startsWith({url!r}) && document.readyState == 'complete'"
                )
                yield page
    finally:
        process.terminate()
        await process.wait()
