"""R6: a system call of a save fails, one at a time: no room, a file too large, a broken disk.

strace makes the call fail in a process that saves a checkpoint; a kernel would do it likewise.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import traceback

from benchmarks.faults.checkpoints import Saved, original, overwrite
from benchmarks.faults.processes import apart
from benchmarks.faults.results import Row, not_measured

CALLS = ("openat", "write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "mkdir")
CALLS += ("rename", "renameat", "renameat2", "unlink", "rmdir")
ERRORS = ("ENOSPC", "EFBIG", "EIO")
GOAL = "the run goes on, the last good checkpoint is intact, the next save works"


def failing_calls(folder: str, *, all_errors: bool) -> Row:
    """R6: the n-th call of each kind fails, for every n that a save reaches.

    all_errors: each call with each error; without, the errors take turns.
    """
    what = f"one system call of a save fails ({', '.join(ERRORS)})"
    if shutil.which("strace") is None:
        return not_measured("R6", what, GOAL, "strace is not installed")
    source, cases, bad = apart(lambda: original(folder)), 0, []
    for call in CALLS:
        number, felt = 1, True
        while felt:
            errors = ERRORS if all_errors else (ERRORS[(cases + len(call)) % len(ERRORS)],)
            for error in errors:
                felt, state = _one(folder, source, f"{call}:error={error}:when={number}")
                cases += felt
                bad += [f"{call} {number}, {error}: {state}"] if felt and state != "intact" else []
            number += 1
    found = "; ".join([f"{cases - len(bad)}/{cases}", *bad[:3]])
    return Row("R6", what, GOAL, found, bool(cases) and not bad)


def _one(folder: str, source: str, fault: str) -> tuple[bool, str]:
    """(whether there was such a call, what is left)."""
    copy, trace = os.path.join(folder, "calls"), os.path.join(folder, "trace")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy)
    pid = os.fork()  # This process has not started TensorFlow, whose threads would not follow.
    if pid == 0:
        _save_when_told(copy)
    ready = os.path.join(copy, "..", "ready")
    code, ended = None, False
    try:
        while not os.path.exists(ready):
            time.sleep(0.005)
        os.remove(ready)
        kind = fault.partition(":")[0]
        command = ["strace", "-f", "-qq", "-o", trace, "-p", str(pid)]
        command += ["-e", f"trace={kind}", "-e", f"inject={fault}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
            while not _is_traced(pid):
                if tracer.poll() is not None and tracer.stderr:
                    raise RuntimeError(f"strace: {tracer.stderr.read().decode()}")
                time.sleep(0.005)
            os.kill(pid, signal.SIGUSR1)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            ended = True
    finally:
        if not ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    with open(trace, encoding="utf-8", errors="replace") as file:
        felt = "(INJECTED)" in file.read()
    return felt, apart(lambda: _left(copy, code)) if felt else ""


def _save_when_told(directory: str) -> None:
    """In a process of its own: 0 if the save said it was done, 1 if not, 2 if it ended with it."""
    code = 2
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        saved = Saved(directory)
        saved.restore()
        overwrite(os.path.join(directory, "..", "ready"), b"")
        signal.sigwait([signal.SIGUSR1])
        code = int(not saved.save(15))
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)


def _is_traced(pid: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return "TracerPid:\t0\n" not in file.read()


def _left(directory: str, code: int | None) -> str:
    if code not in (0, 1):
        return f"the run died ({code})"
    restored = Saved(directory).restore()
    if restored not in (10, 15) or (code == 0 and restored != 15):
        return f"step {restored} is restored, saved was {('15', 'nothing')[code]}"
    again = Saved(directory)
    again.restore()
    if not again.save(20) or Saved(directory).restore() != 20:
        return "the next save does not work"
    return "intact"
