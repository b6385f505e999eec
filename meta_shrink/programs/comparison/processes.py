"""Jobs as child processes, several at once; a wish to stop is passed on to them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from meta_shrink.durable_files import open_regular, real_directory
from meta_shrink.errors import EXIT_OK, EXIT_PREEMPTED, unwritable

SECONDS_BETWEEN_LOOKS = 0.1
COMMAND_MARK = "$ "  # starts the line of a log that has the command whose output follows
# A child that has not set its handlers yet dies of the signal itself.
STOPPED = (EXIT_PREEMPTED, -signal.SIGTERM, -signal.SIGINT)


class Job(NamedTuple):
    """Commands that run one after another while they succeed; `log` gets what they print."""

    name: str
    commands: Sequence[Sequence[str]]
    log: str


class Running(NamedTuple):
    """A job, its present process, and the commands after it."""

    job: Job
    process: subprocess.Popen[bytes]
    rest: Sequence[Sequence[str]]


def run_jobs(
    jobs: Sequence[Job],
    *,
    at_once: int,
    stop_requested: Callable[[], bool],
    watch: Callable[[list[str], dict[str, int]], None],
) -> dict[str, int]:
    """Run the jobs, at_once at a time; one that fails stops no other.

    Args:
      stop_requested: once it is true the children get SIGTERM, and no other starts.
      watch: called often, with the names of the running jobs and the exit codes so far.

    Returns:
      Exit code by name: 0, that of the command that failed, or EXIT_PREEMPTED for a job that was
      stopped (by us, or by a signal of its own) or never started.

    Raises:
      UsageError: a log cannot be written.
    """
    waiting, codes, stopping = deque(jobs), {}, False
    running: list[Running] = []
    try:
        while running or (waiting and not stopping):
            if stop_requested() and not stopping:
                stopping = True
                _signal_all(running, signal.SIGTERM)
            running = [left for r in running if (left := _go_on(r, codes, stopping))]
            while waiting and len(running) < at_once and not stopping:
                job = waiting.popleft()
                running.append(_start(job, job.commands))
            watch([r.job.name for r in running], codes)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:  # Some still run where an exception ended the loop: a second Ctrl-C.
        _signal_all(running, signal.SIGKILL)
        for left in running:
            left.process.wait()
    return {job.name: codes.get(job.name, EXIT_PREEMPTED) for job in jobs}


def _start(job: Job, commands: Sequence[Sequence[str]]) -> Running:
    try:
        folder = os.path.dirname(job.log)
        real_directory(os.path.dirname(folder))
        real_directory(folder)
        descriptor = open_regular(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with os.fdopen(descriptor, "ab") as log:
            log.write(f"{COMMAND_MARK}{shlex.join(commands[0])}\n".encode())
            log.flush()
            process = subprocess.Popen(
                commands[0], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
    except OSError as error:
        raise unwritable(job.log, error) from error
    return Running(job, process, commands[1:])


def _go_on(running: Running, codes: dict[str, int], stopping: bool) -> Running | None:
    """The job as it runs now, perhaps with its next command; None once its exit code is known."""
    code = running.process.poll()
    if code is None:
        return running
    if code == EXIT_OK and running.rest and not stopping:
        return _start(running.job, running.rest)
    if code == EXIT_OK and not running.rest:
        codes[running.job.name] = EXIT_OK
    else:
        stopped = stopping or code in STOPPED
        codes[running.job.name] = EXIT_PREEMPTED if stopped else code
    return None


def _signal_all(running: Sequence[Running], number: signal.Signals) -> None:
    for child in running:
        child.process.send_signal(number)  # Does nothing to one that has ended.
