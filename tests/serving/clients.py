"""Requests to a server with the backbone of NumPy, through aiohttp's test client."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from aiohttp.test_utils import TestClient, TestServer

from meta_shrink import AdapterBank
from meta_shrink.serving.server import Server
from tests.serving.fakes import FakeBackbone

PREDICT = "/v1/models/fake:predict"


@asynccontextmanager
async def serving(directory, backbone=None, **options):
    """(client, backbone, server) of a started server."""
    backbone = backbone or FakeBackbone()
    server = Server(backbone, AdapterBank(backbone, str(directory)), **options)
    async with TestClient(TestServer(server.application())) as client:
        yield client, backbone, server


async def post(client, request, path=PREDICT):
    """(status, JSON) of a request: an object, or bytes."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    async with client.post(path, data=body) as response:
        return response.status, await response.json()


async def get(client, path):
    async with client.get(path) as response:
        return response.status, await response.text()


def ask(directory, request, **options):
    """(status, JSON) of one request."""

    async def run():
        async with serving(directory, **options) as (client, _, _):
            return await post(client, request)

    return asyncio.run(run())
