"""Bearer tokens: which headers and which files of hashes are accepted."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from meta_shrink import UsageError
from meta_shrink.serving.tokens import MAX_FILE_BYTES, Tokens
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


@pytest.mark.parametrize("text", ["", " ", "\n", "\r\n"])
@pytest.mark.parametrize("line", ["{}", "{}  -", "{} the\tnote", "# who\n{good}\n{}  -\n"])
def test_the_hash_of_no_token_is_refused(text, line, tmp_path):
    """What a script writes whose TOKEN is not set: with it, "Bearer " would do."""
    content = line.replace("{good}", sha256(TOKEN)).replace("{}", sha256(text))
    with pytest.raises(UsageError, match=r"Entry [12] of .* empty token.*: set TOKEN"):
        tokens(tmp_path, content)


@pytest.mark.parametrize("blank", ["", " ", "\t", "\n", "\u2003", "\x1c"])
def test_an_empty_token_is_never_accepted(blank, tmp_path, monkeypatch):
    """Not even by a server whose file has its hash."""
    known = tokens(tmp_path, sha256(TOKEN))
    monkeypatch.setattr(known, "_hashes", frozenset({sha256(""), sha256(blank), sha256(TOKEN)}))
    assert not known.accept(f"Bearer {blank}") and not known.accept("Bearer")
    assert known.accept(f"Bearer {TOKEN}")


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False), (2**20, False)])
def test_a_file_is_read_whole_or_refused(more, fits, tmp_path):
    """Tokens behind the bound would be asked in vain, or one be taken back that is read on."""
    last = f"{sha256(OTHER)}\n"
    content = "# note\n" * ((MAX_FILE_BYTES - len(last)) // 7)
    content += "#" * (MAX_FILE_BYTES - len(last) - len(content) - 1) + "\n" + last
    assert len(content) == MAX_FILE_BYTES
    if fits:
        assert tokens(tmp_path, content).accept(f"Bearer {OTHER}")
        return
    with pytest.raises(UsageError, match=f"more than {MAX_FILE_BYTES} bytes"):
        tokens(tmp_path, "\n" * more + content)


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
