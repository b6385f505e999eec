"""Answers as JSON, those to paths and methods that there are not among them."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from meta_shrink.serving.rest import Problem

_CODES = {401: "token", 404: "path", 405: "method", 413: "too_large", 415: "encoding"}
# What HTTP wants beside a 405, a 401 and a 415.
_KEPT_HEADERS = ("Allow", "WWW-Authenticate", "Accept-Encoding")
_RETRY_LATER = (429, 503)


def json_response(status: int, value: Any) -> web.Response:
    """A value as JSON."""
    return response_of(status, json.dumps(value).encode())


def response_of(status: int, content: bytes) -> web.Response:
    """JSON that is written already."""
    headers = {"Retry-After": "1"} if status in _RETRY_LATER else None
    return web.Response(
        status=status, body=content, content_type="application/json", headers=headers
    )


def refusal(request: web.Request, error: web.HTTPException, model: str) -> web.Response:
    """What aiohttp refuses; model: the name of the one that is served."""
    code = _CODES.get(error.status, "request")
    sentence = f"{request.method} of this path: {error.reason}."
    if error.status == 404:
        sentence += f" The model that is served is {model!r}: /v1/models/{model}."
    response = json_response(error.status, Problem(error.status, code, sentence).body())
    response.headers.update({k: error.headers[k] for k in _KEPT_HEADERS if k in error.headers})
    return response
