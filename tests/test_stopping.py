"""Signals: what may be thrown away ends at once, what has something to lose ends by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from meta_shrink import DataError, Preempted, stopping
from meta_shrink.stopping import SIGNALS, StopSignal, is_requested

ROOT = Path(__file__).resolve().parent.parent

# A program that prints when it is at work, so that the signal meets just that.
PROGRAM = """
import hashlib, os, sys, time
from meta_shrink.errors import Preempted
from meta_shrink.stopping import StopSignal

def python():
    print("at work", flush=True)
    while True:
        pass

def without_python():  # As XLA compiling: no Python runs until it ends.
    print("at work", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)

def waiting():
    os.mkfifo(sys.argv[2])
    print("at work", flush=True)
    open(sys.argv[2])

def swallowing():
    while True:
        try:
            python()
        except BaseException:
            pass

def wrapping():
    try:
        python()
    except BaseException as error:
        raise RuntimeError("from TensorFlow") from error

class InDel:
    def __del__(self):  # An exception from here goes nowhere but to stderr, with a traceback.
        print("at work", flush=True)
        python()

def in_del():
    InDel()
    python()

def cleaning_up():
    try:
        python()
    finally:
        print("clean", flush=True)

try:
    with StopSignal() as stop, stop.abandonable(lambda: print("rescued", flush=True)):
        globals()[sys.argv[1]]()
except Preempted as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""
WORK = ("python", "without_python", "waiting", "swallowing", "wrapping", "in_del", "cleaning_up")


def ended(command: list[str], number: signal.Signals, **options) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a program that gets a signal after its first line."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes, **options) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(number)
        rest, errors = process.communicate(timeout=3600)
    return process.returncode, first + rest, errors


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("work", WORK)
def test_any_work_that_may_be_thrown_away_ends(tmp_path, work, number):
    command = [sys.executable, "-c", PROGRAM, work, str(tmp_path / "fifo")]
    code, output, errors = ended(command, number)
    assert code == 42
    assert errors == "error: Stopped; the same command goes on.\n"
    lines = output.splitlines()
    assert lines.count("rescued") == 1
    assert ("clean" in lines) == (work == "cleaning_up")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_program_that_starts_ends_as_stopped(number):
    start = "from meta_shrink.stopping import end_at_once; end_at_once(); print(1, flush=True)\n"
    code, _, errors = ended([sys.executable, "-c", start + "while True: pass"], number)
    assert (code, errors) == (42, "error: Stopped; the same command goes on.\n")


@pytest.mark.parametrize("package", ["launch", "export"])
def test_programs_say_so_from_their_first_import_on_and_libraries_never(package):
    look = f"import signal, sys; sys.argv = sys.argv[1:]; import {package}; "
    look += "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    for argument, is_default in (("-m", "False\n"), ("program.py", "True\n")):
        command = [sys.executable, "-c", look, argument]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout == is_default


def test_under_nohup_a_hangup_changes_nothing():
    code = "import os, signal; from meta_shrink.stopping import StopSignal, end_at_once\n"
    code += "end_at_once()\nwith StopSignal() as stop, stop.abandonable():\n"
    code += "    os.kill(os.getpid(), signal.SIGHUP)\nprint(stop.requested)"
    command = ["nohup", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_what_has_something_to_lose_is_only_told(number):
    former = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop.requested and not is_requested()
        os.kill(os.getpid(), number)
        assert stop.requested and is_requested()
    assert signal.getsignal(number) is former and not is_requested()


def test_a_request_from_before_ends_the_block_before_it_begins():
    saved = []
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        with (
            pytest.raises(Preempted, match="at 7"),
            stop.abandonable(lambda: saved.append(7), "at 7"),
        ):
            saved.append("not reached")
    assert saved == [7]


def test_after_the_block_a_signal_only_tells():
    with StopSignal() as stop:
        with stop.abandonable():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested


def test_errors_of_the_block_stay_what_they_are():
    with pytest.raises(KeyError), StopSignal() as stop, stop.abandonable():
        raise KeyError("a bug")
    with StopSignal() as stop, pytest.raises(DataError, match="torn"), stop.abandonable():
        raise DataError("torn")


def test_an_inner_signal_tells_the_outer_one_and_does_not_throw_its_work_away():
    with StopSignal() as outer, outer.abandonable():
        with StopSignal() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            assert inner.requested
        assert outer.requested  # Not thrown away: the inner work has ended as it wanted to.


def test_second_ctrl_c_interrupts():
    former = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is former


def test_no_thread_and_no_descriptor_is_left():
    before = threading.active_count(), set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with StopSignal() as stop, stop.abandonable():
            pass
    assert (threading.active_count(), set(os.listdir("/proc/self/fd"))) == before


def test_inert_in_other_threads():
    handlers, requested = [], []

    def work():
        with StopSignal() as stop, stop.abandonable():
            handlers.append(signal.getsignal(signal.SIGTERM))
            requested.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)] and requested == [False]
    assert stopping._active == []
