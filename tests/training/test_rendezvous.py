"""Processes wait for one another, in whatever order they come, and a signal ends the waiting."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import pytest

from benchmarks.free_ports import free_ports
from meta_shrink.training import rendezvous
from meta_shrink.training.rendezvous import meet

# A program of its own: one that waits is sent a signal.
PROGRAM = """
import sys
from meta_shrink.training.rendezvous import meet
meet(sys.argv[2:], int(sys.argv[1]))
"""


def hosts(count: int) -> list[str]:
    return [f"127.0.0.1:{free_ports(1)[0]}"] + [f"127.0.0.1:{number}" for number in range(1, count)]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_all_go_when_all_are_there_and_not_before(order):
    there = hosts(3)
    threads = [threading.Thread(target=meet, args=(there, i), daemon=True) for i in order]
    for thread in threads[:2]:
        thread.start()
    threads[0].join(1.0)
    assert all(thread.is_alive() for thread in threads[:2])
    threads[2].start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_a_stranger_is_no_process_of_the_job():
    there = hosts(2)
    first = threading.Thread(target=meet, args=(there, 0), daemon=True)
    first.start()
    host, _, port = there[0].partition(":")
    for words in (b"GET / HTTP/1.1", b"7", b"0", b"7 x", b"0 x", b"\xff x"):
        while True:
            try:
                connection = socket.create_connection((host, int(port)))
                break
            except ConnectionRefusedError:
                continue
        with connection:
            connection.sendall(words)
    first.join(0.5)
    assert first.is_alive()
    meet(there, 1)
    first.join(30)
    assert not first.is_alive()


def test_one_with_another_cluster_is_refused_and_the_others_meet(capsys):
    """TensorFlow would wait for ever for a third one."""
    there = hosts(2)
    first = threading.Thread(target=meet, args=(there, 0), daemon=True)
    first.start()
    with pytest.raises(ValueError, match="the first process has another cluster"):
        meet([*there, "127.0.0.1:9"], 1)
    assert first.is_alive()
    meet(there, 1)
    first.join(30)
    assert not first.is_alive()
    assert "Process 1 has another cluster in its TF_CONFIG" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (0, "Still waiting for process 1, 2 of TF_CONFIG"),
        (2, "Still waiting: 127.0.0.1:{}, the first process of TF_CONFIG, does not answer"),
    ],
)
def test_who_waits_long_says_for_whom(index, words, monkeypatch, capsys):
    monkeypatch.setattr(rendezvous, "SECONDS_BETWEEN_WORDS", 0.1)
    there = hosts(3)
    threads = [threading.Thread(target=meet, args=(there, i), daemon=True) for i in range(3)]
    threads.pop(index).start()
    wanted, told = words.format(there[0].rpartition(":")[2]), ""
    for _ in range(600):
        if wanted in told:
            break
        time.sleep(0.05)
        told += capsys.readouterr().err
    assert wanted in told
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize("index", [0, 1])
def test_one_that_waits_hears_a_signal(index):
    command = [sys.executable, "-c", PROGRAM, str(index), *hosts(2)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "Waiting for the 2 processes" in process.stderr.readline()
    process.terminate()
    assert process.wait(30) != 0


def test_a_process_alone_waits_for_none():
    meet(["127.0.0.1:1"], 0)
