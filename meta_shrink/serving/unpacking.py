"""Bodies that are packed (Content-Encoding), unpacked piece by piece and to their very end.

aiohttp would take a gzip body without its end, and one of an unknown packing as if it were not
packed: the server asks it to leave packed bodies alone.
"""

from __future__ import annotations

import zlib

from aiohttp import web

from meta_shrink.errors import UsageError

# Window sizes of zlib: with gzip's header and checksum, with those of zlib, and with none.
_GZIP, _ZLIB, _RAW = 31, 15, -15
_KNOWN = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class Unpacker:
    """Unpacks one body, which is one member of gzip or one stream of deflate."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream = None

    def unpack(self, part: bytes, max_bytes: int) -> bytes:
        """What the next part holds, `max_bytes` of it at most; the rest of the part is dropped.

        Raises:
          UsageError: it is not packed so, or more stands behind its end.
        """
        if self._stream is None:
            self._stream = zlib.decompressobj(self._window(part[0]))
        try:
            content = self._stream.decompress(part, max_bytes)
        except zlib.error:
            raise UsageError(f"The body is no {self._encoding}, as its headers say.") from None
        if self._stream.unused_data:
            raise UsageError(f"The body has more behind the end of its {self._encoding}.")
        return content

    def end(self) -> None:
        """After the last part.

        Raises:
          UsageError: the end is missing, and with it the checksum.
        """
        if self._stream is not None and not self._stream.eof:
            raise UsageError(
                f"The body is cut off: its {self._encoding} has no end; send it again."
            )

    def _window(self, first: int) -> int:
        """Some clients send "deflate" without the header that belongs to it (its method is 8)."""
        window = _KNOWN[self._encoding]
        return _RAW if window == _ZLIB and first & 0xF != 8 else window


def unpacker_of(request: web.Request) -> Unpacker | None:
    """What unpacks the body of a request; None: it is not packed.

    Raises:
      HTTPUnsupportedMediaType: it is packed otherwise, or more than once.
    """
    words = ",".join(request.headers.getall("Content-Encoding", [])).lower().split(",")
    packings = [word for word in map(str.strip, words) if word not in ("", "identity")]
    if not packings:
        return None
    if len(packings) > 1 or packings[0] not in _KNOWN:
        raise web.HTTPUnsupportedMediaType(
            reason=f"Content-Encoding is {', '.join(packings)[:64]!r}; send gzip, deflate or none",
            headers={"Accept-Encoding": "gzip, deflate"},
        )
    return Unpacker(packings[0])
