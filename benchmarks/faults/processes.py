"""Programs as processes, and signals that meet them at a chosen second of their work.

A program runs in a fork of this process, which has imported TensorFlow already and started nothing
of it: the same `main`, without three seconds of importing. `fresh` starts a new Python instead.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

SECONDS_BETWEEN_LOOKS = 0.002


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
    log: str,
    *,
    number: signal.Signals | None = None,
    at: float = 0.0,
    fresh: bool = False,
    limits: dict[int, int] | None = None,
) -> Ended:
    """Run `python -m program`; at that many processor seconds it gets the signal."""
    start = _fresh if fresh else _forked
    pid = start(program, arguments, log, limits or {})
    sent = None if number is None else _signal_at(pid, number, at)
    _, status, usage = os.wait4(pid, 0)
    seconds = usage.ru_utime + usage.ru_stime
    after = None if sent is None else max(0.0, seconds - sent)
    with open(log, encoding="utf-8", errors="replace") as file:
        return Ended(os.waitstatus_to_exitcode(status), seconds, after, file.read())


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


def _fresh(program: str, arguments: Sequence[str], log: str, limits: dict[int, int]) -> int:
    with open(log, "wb") as file:
        command = [sys.executable, "-m", program, *arguments]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file).pid


def _forked(program: str, arguments: Sequence[str], log: str, limits: dict[int, int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
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
    while (seconds := _processor_seconds(pid)) is not None:
        if seconds >= at:
            os.kill(pid, number)
            return seconds
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return None


def _processor_seconds(pid: int) -> float | None:
    """None once the process has ended."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
