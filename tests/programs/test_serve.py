"""serve: where it listens, what it says of it, and numbers that are none."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from meta_shrink import UsageError
from meta_shrink.programs.serve import bound_socket, in_url
from tests.refusals import refusals


@pytest.mark.parametrize("host", ["", " ", "\t", " \n"])
def test_an_empty_host_is_not_all_addresses(host):
    """An unset variable of a script would open the server to everybody."""
    with pytest.raises(UsageError, match=r"all addresses.*--host=0\.0\.0\.0"):
        bound_socket(host, 0)


@pytest.mark.parametrize(
    "host", ["*", "[::1]", "nobody.invalid", "a" * 70, "\u00e4..\u00e4", "1.2.3"]
)
def test_a_host_that_is_none(host):
    with pytest.raises(UsageError, match="cannot be bound"):
        bound_socket(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::1", "::"])
def test_the_address_that_is_printed_is_a_url_of_the_server(host):
    if ":" in host and not socket.has_ipv6:
        pytest.skip("no IPv6")
    with bound_socket(host, 0) as listener:
        port = listener.getsockname()[1]
        listener.listen()
        url = urlsplit(f"http://{in_url(host)}:{port}/v1/models/a")
        assert (url.hostname, url.port, url.path) == (host, port, "/v1/models/a")
        socket.create_connection((url.hostname, url.port), timeout=60).close()


def test_a_zone_of_ipv6_is_escaped():
    assert in_url("fe80::1%eth0") == "[fe80::1%25eth0]"


TIMES = ("max_delay_ms", "body_seconds", "grace_seconds", "max_seconds")
COUNTS = ("max_batch", "max_queue", "max_resident", "loaders", "max_voices", "max_text")


@pytest.mark.programs
def test_numbers_that_are_none_are_wrong_flags():
    flags = [f"--{name}={value}" for name in TIMES for value in ("nan", "inf", "-1", "1e18")]
    flags += [f"--{name}={value}" for name in COUNTS for value in ("0", "nan", "2.5")]
    flags += ["--max_batch=1000000000", "--max_delay_ms=60001", "--host="]
    lines = [["--backbone=absent", "--adapters=absent", flag] for flag in flags]
    for flag, (code, told) in zip(flags, refusals("serve", *lines), strict=True):
        assert (code, told.count("error: ")) == (2, 1), told
        assert flag.partition("=")[0] in told and "Traceback" not in told
