"""The processes of a job wait for one another where a signal can still end them.

TensorFlow waits within its own code, up to an hour, and hears neither SIGTERM nor Ctrl-C meanwhile.
So they meet here first, at the address of the first one, which its server takes afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import sys
import time
from collections.abc import Sequence

_GO, _NO = b"go", b"no"
_SECONDS = 5.0  # For one that has connected to say its number and cluster.
_SECONDS_BETWEEN_TRIES = 0.5
SECONDS_BETWEEN_WORDS = 60.0


def meet(hosts: Sequence[str], index: int) -> None:
    """Return in each process once all have called this.

    Args:
      hosts: "HOST:PORT" of every process, the same in all. index: of this one.

    Raises:
      OSError: the port of the first process is taken, in that process.
      ValueError: the first process was given other hosts.
    """
    if len(hosts) == 1:
        return
    _say(f"Waiting for the {len(hosts)} processes of this job.")
    host, _, port = hosts[0].rpartition(":")
    cluster = hashlib.sha256(" ".join(hosts).encode()).hexdigest()
    if index == 0:
        _await_others(int(port), range(1, len(hosts)), cluster)
    else:
        _await_first(host.strip("[]"), int(port), f"{index} {cluster}")


def _await_others(port: int, others: range, cluster: str) -> None:
    """One that started anew while it waited takes the place of its former connection."""
    waiting: dict[int, socket.socket] = {}
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    with contextlib.ExitStack() as stack:
        server = socket.create_server(("", port), family=family, dualstack_ipv6=both)
        stack.enter_context(server).settimeout(SECONDS_BETWEEN_WORDS)
        while set(others) - set(waiting):
            try:
                connection = stack.enter_context(server.accept()[0])
            except TimeoutError:
                missing = ", ".join(map(str, sorted(set(others) - set(waiting))))
                _say(f"Still waiting for process {missing} of TF_CONFIG, the first being 0.")
                continue
            with contextlib.suppress(OSError, ValueError):
                number, theirs = _introduction(connection)
                if number in others and theirs == cluster:
                    waiting[number] = connection
                elif number in others:
                    _say(f"Process {number} has another cluster in its TF_CONFIG: refused.")
                    connection.sendall(_NO)
        for connection in waiting.values():
            with contextlib.suppress(OSError):
                connection.sendall(_GO)


def _introduction(connection: socket.socket) -> tuple[int, str]:
    connection.settimeout(_SECONDS)
    number, cluster = connection.recv(128).decode().split()
    return int(number), cluster


def _await_first(host: str, port: int, introduction: str) -> None:
    word_at = time.monotonic() + SECONDS_BETWEEN_WORDS
    while (answer := _answer_of_first(host, port, introduction)) != _GO:
        if answer == _NO:
            raise ValueError("the first process has another cluster in its TF_CONFIG")
        if time.monotonic() > word_at:
            _say(f"Still waiting: {host}:{port}, the first process of TF_CONFIG, does not answer.")
            word_at = time.monotonic() + SECONDS_BETWEEN_WORDS
        time.sleep(_SECONDS_BETWEEN_TRIES)


def _answer_of_first(host: str, port: int, introduction: str) -> bytes:
    """What it says when all are there; nothing if it is not there itself yet."""
    try:
        with socket.create_connection((host, port), _SECONDS) as connection:
            connection.sendall(introduction.encode())
            connection.settimeout(None)
            return connection.recv(len(_GO))
    except OSError:
        return b""


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
