"""Bearer tokens: which headers and which files of hashes are accepted."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from meta_shrink import UsageError
from meta_shrink.serving.tokens import Tokens
from tests.serving.clients import PREDICT, serving

TOKEN, OTHER = "a" * 64, "b" * 64
GOOD = {"instances": [[1, 2]]}


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def tokens(tmp_path, text: str) -> Tokens:
    path = tmp_path / "tokens"
    path.write_text(text)
    return Tokens(str(path))


HEADERS = [
    (f"Bearer {TOKEN}", True),
    (f"bearer {TOKEN}", True),
    (f"Bearer  {TOKEN} ", True),
    (f"Bearer {OTHER}", True),
    (None, False),
    ("", False),
    ("Bearer", False),
    ("Bearer ", False),
    (TOKEN, False),
    (f"Basic {TOKEN}", False),
    (f"Bearer {TOKEN}x", False),
    (f"Bearer {TOKEN.upper()}", False),
    (f"Bearer {sha256(TOKEN)}", False),
    (f"Bearer {TOKEN}, Bearer {OTHER}", False),
    ("Bearer \udcff", False),
]


@pytest.mark.parametrize(("header", "accepted"), HEADERS)
def test_headers(header, accepted, tmp_path):
    known = tokens(tmp_path, f"# who\n{sha256(TOKEN)}  -\n\n{sha256(OTHER)} the other one\n")
    assert known.accept(header) is accepted


@pytest.mark.parametrize(
    "text", ["", "\n", "# none\n", TOKEN.upper(), TOKEN[:-1], f"{sha256(TOKEN)}\nx", "\u00e9"]
)
def test_files_that_let_nobody_in(text, tmp_path):
    with pytest.raises(UsageError):
        tokens(tmp_path, text)


@pytest.mark.parametrize("name", ["", "none", "."])
def test_paths_that_are_no_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is no file"):
        Tokens(name)


def test_the_server_asks_for_a_token(tmp_path):
    """Everywhere but for health, before it reads the body; a reload takes a token back."""
    known = tokens(tmp_path, sha256(TOKEN))
    authorization = {"Authorization": f"Bearer {TOKEN}"}
    paths = ("/metrics", "/v1/models/fake", "/v1/models/fake/metadata", "/none")

    async def run():
        async with serving(tmp_path, tokens=known) as (client, _, server):

            async def get(path, headers=None):
                async with client.get(path, headers=headers) as response:
                    return response.status

            async def ask(headers=None, body=GOOD):
                async with client.post(PREDICT, json=body, headers=headers) as response:
                    return response.status, response.headers.get("WWW-Authenticate")

            assert [await get(path) for path in ("/healthz", "/readyz")] == [200, 200]
            assert [await get(path) for path in paths] == [401] * 4
            assert [await get(path, authorization) for path in paths] == [200, 200, 200, 404]
            assert await ask() == await ask(body="junk") == (401, "Bearer")
            assert await ask(authorization) == (200, None)
            (tmp_path / "tokens").write_text("damaged")
            server.reload()
            assert (await ask(authorization))[0] == 200
            (tmp_path / "tokens").write_text(sha256(OTHER))
            server.reload()
            assert (await ask(authorization))[0] == 401

    asyncio.run(run())
