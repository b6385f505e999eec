"""Programs as processes, and signals that meet them at a chosen second of their work.

A program runs in a fork of this process, which has imported TensorFlow already and started nothing
of it: the same `main`, without three seconds of importing. `fresh` starts a new Python instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

SECONDS_BETWEEN_LOOKS = 0.002
WAITS_SECONDS = 2.0  # without using the processor


class Ended(NamedTuple):
    """How a process ended.

    code: its exit code, -N for signal N. seconds: of the processor in all; seconds_after: those
    since the signal, None if it ended before. output: stdout and stderr.
    """

    code: int
    seconds: float
    seconds_after: float | None
    output: str


def flags(**given: object) -> list[str]:
    """--flag=value ...; one called `config__x` is --config.x."""
    return [f"--{key.replace('__', '.')}={value}" for key, value in given.items()]


def run(
    program: str,
    arguments: Sequence[str],
    *,
    number: signal.Signals | None = None,
    at: float = 0.0,
    fresh: bool = False,
    limits: dict[int, int] | None = None,
) -> Ended:
    """Run `python -m program`; at that many processor seconds it gets the signal.

    limits: resource limits of the program; what it prints goes to a pipe, which has none.
    """
    reading, writing = os.pipe()
    start = _fresh if fresh else _forked
    pid = start(program, arguments, writing, limits or {})
    os.close(writing)
    output: list[bytes] = []
    reader = threading.Thread(target=_read, args=(reading, output))
    reader.start()
    sent = None if number is None else _signal_at(pid, number, at)
    _, status, usage = os.wait4(pid, 0)
    reader.join()
    seconds = usage.ru_utime + usage.ru_stime
    after = None if sent is None else max(0.0, seconds - sent)
    text = b"".join(output).decode("utf-8", "replace")
    return Ended(os.waitstatus_to_exitcode(status), seconds, after, text)


def _read(descriptor: int, output: list[bytes]) -> None:
    with os.fdopen(descriptor, "rb") as file:
        output.append(file.read())


def apart(measure: Callable[[], Any]) -> Any:
    """The result (as JSON) of a function that runs in a process of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        code = 1
        try:
            os.write(writing, json.dumps(measure()).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        content = file.read()
    os.waitpid(pid, 0)
    return json.loads(content) if content else "failed: see its traceback"


def _fresh(program: str, arguments: Sequence[str], out: int, limits: dict[int, int]) -> int:
    command = [sys.executable, "-m", program, *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out).pid


def _forked(program: str, arguments: Sequence[str], out: int, limits: dict[int, int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.dup2(out, 1)
        os.dup2(out, 2)
        for limit, value in limits.items():
            resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
        for name in [
            name for name in sys.modules if name.partition(".")[0] in ("launch", "export")
        ]:
            del sys.modules[name]
        sys.argv = ["-m", *arguments]  # What their packages see when `python -m` starts.
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _signal_at(pid: int, number: signal.Signals, at: float) -> float | None:
    """Send it at that second of the processor, or when the program waits, as a server does."""
    before, since = -1.0, time.monotonic()
    while (seconds := _processor_seconds(pid)) is not None:
        if seconds > before:
            before, since = seconds, time.monotonic()
        if seconds >= at or time.monotonic() - since > WAITS_SECONDS:
            os.kill(pid, number)
            return seconds
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return None


def _processor_seconds(pid: int) -> float | None:
    """Of a process, its children and theirs, those that have ended included; None once it ended."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_seconds_of_child(int(child)) for child in _children(pid))


def _children(pid: int) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(OSError):  # It has ended meanwhile.
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += file.read().split()
    return found


def _seconds_of_child(pid: int) -> float:
    try:
        return _processor_seconds(pid) or 0.0
    except OSError:
        return 0.0
