"""What fuzzers run: any content is refused with an AdapterError, or is the adapter it was."""

from __future__ import annotations

from collections.abc import Callable

from meta_shrink import AdapterError
from meta_shrink.adapters.reading import parse_adapter, parse_stored
from meta_shrink.errors import ADAPTER_CODES
from tests.adapters import samples

INFO = samples.backbone()
PHI = samples.phi(INFO)
GOOD = [samples.encoded(INFO, "f32"), samples.encoded(INFO, "int8_delta")]
HEADER, PAYLOAD = samples.split(GOOD[0])


def check(content: bytes) -> None:
    """Parses with and without a backbone; raises what must not happen."""
    for parse in (parse_stored, lambda given: parse_adapter(given, INFO, default=PHI)):
        try:
            parse(content)
        except AdapterError as error:
            if error.code not in ADAPTER_CODES or content in GOOD:
                raise RuntimeError(f"refused with {error.code}") from error
        else:
            if content not in GOOD:
                raise RuntimeError("a content that nobody wrote was accepted")


def patched(data: bytes) -> bytes:
    """A good file with bytes changed: 3 bytes of data each, where and what."""
    content = bytearray(GOOD[data[0] % 2] if data else b"")
    for index in range(1, len(data) - 2, 3):
        content[int.from_bytes(data[index : index + 2], "big") % len(content)] = data[index + 2]
    return bytes(content)


def as_header(data: bytes) -> bytes:
    """The data is the header, of the right length."""
    return samples.join(data, PAYLOAD)


def as_manifest(data: bytes) -> bytes:
    """The data is the manifest in a right header."""
    fields = samples.json.loads(HEADER)
    fields["__metadata__"]["meta_shrink"] = data.decode("utf-8", "replace")
    return samples.join(samples.spell(fields), PAYLOAD)


def spliced(data: bytes) -> bytes:
    """The data stands somewhere in the header of a good file, instead of as many bytes."""
    position = int.from_bytes(data[:2], "big") % len(HEADER)
    header = HEADER[:position] + data[2:] + HEADER[position + len(data[2:]) :]
    return samples.join(header, PAYLOAD)


MAKERS: tuple[Callable[[bytes], bytes], ...] = (bytes, patched, as_header, as_manifest, spliced)


def check_input(data: bytes) -> None:
    """The first byte says what the others are."""
    check(MAKERS[data[0] % len(MAKERS)](data[1:]) if data else data)
