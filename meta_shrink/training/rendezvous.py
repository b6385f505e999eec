"""The processes of a job wait for one another where a signal can still end them.

TensorFlow waits within its own code, up to an hour, and hears neither SIGTERM nor Ctrl-C meanwhile.
So they meet here first, at the address of the first one, which its server takes afterwards.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Sequence

_GO = b"go"
_SECONDS = 5.0  # For one that has connected to say its number.
_SECONDS_BETWEEN_TRIES = 0.5


def meet(hosts: Sequence[str], index: int) -> None:
    """Return in each process once all have called this.

    Args:
      hosts: "HOST:PORT" of every process, the same in all. index: of this one.

    Raises:
      OSError: the port of the first process is taken, in that process.
    """
    if len(hosts) == 1:
        return
    print(f"Waiting for the {len(hosts)} processes of this job.", file=sys.stderr, flush=True)
    host, _, port = hosts[0].rpartition(":")
    if index == 0:
        _await_others(int(port), range(1, len(hosts)))
    else:
        while not _has_met(host.strip("[]"), int(port), index):
            time.sleep(_SECONDS_BETWEEN_TRIES)


def _await_others(port: int, others: range) -> None:
    """One that started anew while it waited takes the place of its former connection."""
    waiting: dict[int, socket.socket] = {}
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    with contextlib.ExitStack() as stack:
        server = socket.create_server(("", port), family=family, dualstack_ipv6=both)
        stack.enter_context(server)
        while set(others) - set(waiting):
            connection = stack.enter_context(server.accept()[0])
            connection.settimeout(_SECONDS)
            with contextlib.suppress(OSError, ValueError):
                number = int(connection.recv(16))
                if number in others:
                    waiting[number] = connection
        for connection in waiting.values():
            with contextlib.suppress(OSError):
                connection.sendall(_GO)


def _has_met(host: str, port: int, index: int) -> bool:
    """Whether the first process said that all are there; not if it is not there itself yet."""
    try:
        with socket.create_connection((host, port), _SECONDS) as connection:
            connection.sendall(str(index).encode())
            connection.settimeout(None)
            return connection.recv(len(_GO)) == _GO
    except OSError:
        return False
