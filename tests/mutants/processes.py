"""Test runs in copies of the tree, each in a process forked from one that has TensorFlow imported.

Importing TensorFlow takes seconds, a test that feels a fault a fraction of one. The parent imports
what does not change (never our own code) and starts nothing of it; each child imports our code from
its copy of the tree, in which at most one line is different.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.mutants.faults import Fault, source, with_fault

# As tests/conftest.py has them, which comes too late for a TensorFlow that is imported before.
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "",
    "OPENBLAS_NUM_THREADS": "1",
    "MPLBACKEND": "agg",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a second for each process, and none is needed
}
WARM = ("pytest", "tensorflow", "keras", "optuna", "matplotlib.pyplot", "safetensors")
OURS = ("meta_shrink", "configs", "launch", "export", "benchmarks", "tests")
NOT_OUR_CODE = 70  # exit status of a child that imported meta_shrink from elsewhere
CRASHED, TOO_LONG = "crashed", "took too long"


class Job(NamedTuple):
    """Tests to run, with a fault in the code or without."""

    tests: tuple[str, ...]
    fault: Fault | None = None


class Outcome(NamedTuple):
    """How the tests ended: pytest's exit status, or in words what came before it."""

    job: Job
    status: int | str
    log: str


class _Running(NamedTuple):
    job: Job
    copy: Path
    started: float


def warm_up(root: Path) -> None:
    """Import what every test needs, in an environment as tests/conftest.py has it.

    The data beside the tree `root` are found from its copies too.
    """
    os.environ.update(ENVIRONMENT)
    os.environ.setdefault("META_SHRINK_DATA", str(root.parent / "shared" / "data"))
    sys.dont_write_bytecode = True  # a fault changes a file within the resolution of its time
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for name in WARM:
        importlib.import_module(name)


def copy_tree(root: Path, to: Path) -> Path:
    """A copy of the files that git has or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, to / name)
    return to


def run_jobs(
    jobs: Sequence[Job],
    copies: Sequence[Path],
    *,
    limit_s: float,
    may_start: Callable[[], bool] = lambda: True,
) -> Iterator[Outcome]:
    """The outcomes of the jobs as they end, one job in each copy at a time.

    Args:
      limit_s: seconds after which a job is ended; its status is then TOO_LONG.
      may_start: asked before each job; once false, no other job is started.
    """
    waiting, free, running = list(jobs)[::-1], list(copies), {}
    try:
        while running or (waiting and may_start()):
            while waiting and free and may_start():
                copy, job = free.pop(), waiting.pop()
                running[_start(job, copy)] = _Running(job, copy, time.monotonic())
            for pid, status in list(_ended(running, limit_s)):
                job, copy, _ = running.pop(pid)
                _restore(job, copy)
                free.append(copy)
                yield Outcome(job, status, _log(copy).read_text(errors="replace"))
            time.sleep(0.02)
    finally:
        for pid in running:
            _end_group(pid)


def _start(job: Job, copy: Path) -> int:
    if job.fault is not None:
        (copy / job.fault.file).write_text(with_fault(job.fault, copy), encoding="utf-8")
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _run_tests(job.tests, copy)
    return pid


def _restore(job: Job, copy: Path) -> None:
    if job.fault is not None:
        (copy / job.fault.file).write_text(source(job.fault, copy.parent / "original"))


def _run_tests(tests: Sequence[str], copy: Path) -> None:
    """In a child: never returns."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    output = os.open(_log(copy), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(copy)
    sys.path[0] = os.environ["PYTHONPATH"] = str(copy)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    status = NOT_OUR_CODE
    try:
        import pytest

        options = ["-x", "-q", "-m", "not slow", "--tb=short", "-p", "no:cacheprovider"]
        options += [f"--rootdir={copy}", f"--basetemp={copy}.tests"]
        status = int(pytest.main([*options, *tests]))
        ours = sys.modules.get("meta_shrink")
        if ours is not None and not str(ours.__file__).startswith(str(copy)):
            status = NOT_OUR_CODE
    finally:
        sys.stdout.flush()
        os._exit(status)


def _ended(running: dict[int, _Running], limit_s: float) -> Iterator[tuple[int, int | str]]:
    for pid, (_, _, started) in running.items():
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            _end_group(pid)
            yield pid, code if code >= 0 else CRASHED
        elif time.monotonic() - started > limit_s:
            _end_group(pid)
            os.waitpid(pid, 0)
            yield pid, TOO_LONG


def _end_group(pid: int) -> None:
    """End what a child has left behind, and the child."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _log(copy: Path) -> Path:
    return copy.with_suffix(".log")
