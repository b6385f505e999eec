"""A Google Cloud Storage in this process: what gcsfs asks of its JSON API, with preconditions.

Python's other emulators take no notice of ifGenerationMatch, which the lease stands on.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "bucket"
_OBJECT = re.compile(r"/(?:download/)?storage/v1/b/([^/]+)/o(?:/(.+))?")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")


class FakeGcs(ThreadingHTTPServer):
    """One bucket. objects: {key: (bytes, generation)}; fail: keys whose uploads are refused,
    with the status fail_status."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.fail: set[str] = set()
        self.fail_status = 403
        self.lock, self.generation = threading.Lock(), 0
        self.sessions: dict[str, tuple[str, bool, bytearray]] = {}

    def handle_error(self, request, client_address) -> None:
        """A client that was killed breaks its connection."""

    def store(self, key: str, content: bytes, *, absent: bool) -> tuple[int, dict]:
        """(HTTP status, the object's description); absent: only where there is none."""
        with self.lock:
            if key in self.fail:
                return self.fail_status, {"error": {"message": f"{key} may not be written"}}
            if absent and key in self.objects:
                return 412, {"error": {"message": "conditionNotMet"}}
            self.generation += 1
            self.objects[key] = content, self.generation
            return 200, describe(key, *self.objects[key])


def describe(key: str, content: bytes, generation: int) -> dict:
    """The object resource of the API."""
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    return {
        **{"kind": "storage#object", "name": key, "bucket": BUCKET, "size": str(len(content))},
        **{"generation": str(generation), "md5Hash": md5, "etag": f"e{generation}"},
        **{"updated": "2026-01-01T00:00:00.000Z", "timeCreated": "2026-01-01T00:00:00.000Z"},
    }


class _Handler(BaseHTTPRequestHandler):
    server: FakeGcs
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        match, query = self._asked(_OBJECT)
        if match is None or match[1] != BUCKET:
            return self._answer(404, {"error": {"message": "no such bucket"}})
        if match[2] is None:
            prefix = query.get("prefix", "")
            found = sorted(self.server.objects.items())
            items = [describe(key, *value) for key, value in found if key.startswith(prefix)]
            return self._answer(200, {"kind": "storage#objects", "items": items})
        key = unquote(match[2])
        if key not in self.server.objects:
            return self._answer(404, {"error": {"message": "no such object"}})
        content, generation = self.server.objects[key]
        if query.get("alt") == "media" or self.path.startswith("/download"):
            return self._send(200, content, "application/octet-stream")
        return self._answer(200, describe(key, content, generation))

    def do_DELETE(self):
        match, _ = self._asked(_OBJECT)
        gone = match and self.server.objects.pop(unquote(match[2]), None)
        return self._send(204, b"") if gone else self._answer(404, {"error": {"message": "none"}})

    def do_POST(self):
        if self.path.startswith("/session/"):
            return self._chunk()
        match, query = self._asked(_UPLOAD)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if match is None or match[1] != BUCKET:
            return self._answer(404, {"error": {"message": "no such bucket"}})
        absent = query.get("ifGenerationMatch") == "0"
        if query["uploadType"] == "resumable":
            session = f"s{len(self.server.sessions)}"
            key = query.get("name") or json.loads(body)["name"]
            self.server.sessions[session] = key, absent, bytearray()
            host = self.server.server_address
            return self._send(200, b"", location=f"http://{host[0]}:{host[1]}/session/{session}")
        _, told, content, _ = re.split(rb"--==0==(?:--)?\n?", body, maxsplit=3)
        content = content.partition(b"\n\n")[2].removesuffix(b"\n")
        key = json.loads(told.partition(b"\n\n")[2])["name"]
        return self._answer(*self.server.store(key, content, absent=absent))

    def _chunk(self):
        key, absent, content = self.server.sessions[self.path.rpartition("/")[2]]
        content += self.rfile.read(int(self.headers["Content-Length"]))
        total = self.headers["Content-Range"].rpartition("/")[2]
        if total == "*" or len(content) < int(total):
            self.send_response(308)
            self.send_header("Range", f"bytes=0-{len(content) - 1}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self._answer(*self.server.store(key, bytes(content), absent=absent))

    def _asked(self, pattern: re.Pattern) -> tuple[re.Match | None, dict[str, str]]:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        return pattern.fullmatch(url.path), query

    def _answer(self, status: int, content: dict) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str = "", location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (("Content-Type", kind), ("Location", location)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def fake_gcs() -> Iterator[tuple[FakeGcs, dict[str, str]]]:
    """A server, and the environment in which gcsfs speaks to it."""
    server = FakeGcs()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host, port = server.server_address[:2]
    try:
        yield server, os.environ | {"STORAGE_EMULATOR_HOST": f"http://{host}:{port}"}
    finally:
        server.shutdown()
        server.server_close()
