"""The wish to stop: SIGTERM, Ctrl-C and SIGHUP end a program soon, resumable, without a traceback.

Work is of three kinds. What has something to lose (a burst of meta-steps, a save) sees
`StopSignal.requested` and ends by itself. What can be thrown away (`StopSignal.abandonable`:
tracing, compiling, evaluating) is interrupted; where it sits in C++, which Python cannot
interrupt, a thread ends the process. Before there is anything at all, the signal ends the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from meta_shrink.errors import EXIT_PREEMPTED, MetaShrinkError, Preempted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOPPED = "Stopped; the same command goes on."
# What may be thrown away gets this much to end by itself: of the processor, or of the clock where
# it only waits.
PROCESSOR_SECONDS, SECONDS = 0.5, 5.0
_SECONDS_BETWEEN_LOOKS = 0.02
_active: list[StopSignal] = []


class Interrupted(BaseException):
    """Unwinds work that can be thrown away; becomes Preempted at its end.

    No Exception: libraries must not take it for one of theirs.
    """


def end_at_once(signals: tuple[signal.Signals, ...] = SIGNALS) -> None:
    """From now on a signal ends the process as stopped: for the start of a program."""
    for number in signals:
        if not _is_ignored_hangup(number):
            signal.signal(number, lambda *_: _end_process())


def is_requested() -> bool:
    """Whether a signal has come within any StopSignal that is open."""
    return any(stop.requested for stop in _active)


class StopSignal:
    """Within its `with` block a signal sets `requested`; a second Ctrl-C interrupts.

    Inert outside the main thread, where Python allows no handlers.
    """

    def __init__(self, *, abandons: bool = True) -> None:
        """Nothing is abandoned (abandons=False) where other processes wait for this one."""
        self.requested = False
        self._abandons, self._interrupts = abandons, 0
        self._former: dict[signal.Signals, Any] = {}
        self._region: _Region | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            numbers = [number for number in SIGNALS if not _is_ignored_hangup(number)]
            self._former = {number: signal.signal(number, self._note) for number in numbers}
            self._watched = threading.Event()
            self._over = threading.Event()
            reading, writing = os.pipe()
            os.set_blocking(writing, False)
            self._pipe = reading, writing
            self._former_wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
            self._watcher = threading.Thread(target=self._watch, args=(reading,), daemon=True)
            self._watcher.start()
            self._former_hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
            _active.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._former:
            return
        for number, handler in self._former.items():
            # None: a handler that was not set from Python, which Python cannot set again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._former_wakeup, warn_on_full_buffer=False)
        sys.unraisablehook = self._former_hook
        self._over.set()
        os.close(self._pipe[1])  # The watcher sees the end of the pipe.
        self._watcher.join()
        os.close(self._pipe[0])
        _active.remove(self)
        self._former = {}

    @contextlib.contextmanager
    def abandonable(
        self, rescue: Callable[[], Any] = lambda: None, message: str = STOPPED
    ) -> Iterator[None]:
        """A block that a signal may end anywhere, once `rescue` has saved what it must.

        Raises:
          Preempted: a signal came, before or within the block.
        """
        if not self._abandons:
            yield
            return
        region = _Region(rescue, message, self._region)
        try:
            self._change_region(region, region.outer)
            if self.requested:
                raise Interrupted
            yield
            self._change_region(region.outer, region)
        except BaseException as error:
            self._change_region(region.outer, region)
            # TensorFlow may have wrapped the interruption into something else.
            told = isinstance(error, MetaShrinkError) or self._interrupts > 1
            if told or not self.requested:
                raise
            rescue()
            raise Preempted(message) from None

    def _change_region(self, to: _Region | None, expected: _Region | None) -> None:
        with self._lock:
            if self._region is not None and self._region.taken:
                _wait_for_the_end()
            if self._region is expected:
                self._region = to

    def _note(self, number: int, _: FrameType | None) -> None:
        for stop in _active:
            stop.requested = True
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            raise KeyboardInterrupt
        region = self._region
        if region is not None and region.taken:
            _wait_for_the_end()
        if region is not None and not region.interrupted:
            region.interrupted = True
            raise Interrupted

    def _unraisable(self, what: Any) -> None:
        """A signal within a __del__ has its exception dropped; the watcher ends the work then."""
        if not isinstance(what.exc_value, (Interrupted, KeyboardInterrupt)):
            self._former_hook(what)

    def _watch(self, reading: int) -> None:
        """The thread that waits for a signal, and then for the end of what it should end."""
        stops = {int(number) for number in self._former}
        while came := os.read(reading, 64):
            if stops & set(came):
                break
        else:
            return
        region, since = None, (0.0, 0.0)
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            now = time.process_time(), time.monotonic()
            if region is not self._region:
                region, since = self._region, now
            spent = now[0] - since[0] > PROCESSOR_SECONDS or now[1] - since[1] > SECONDS
            if region is not None and spent and self._take(region):
                _end_process(_rescued(region))

    def _take(self, region: _Region) -> bool:
        """From here on the region's own thread does nothing any more."""
        with self._lock:
            region.taken = self._region is region
            return region.taken


class _Region:
    def __init__(self, rescue: Callable[[], Any], message: str, outer: _Region | None) -> None:
        self.rescue, self.message, self.outer = rescue, message, outer
        self.interrupted = self.taken = False


def _rescued(region: _Region) -> str:
    try:
        region.rescue()
    except Exception as error:
        return f"{region.message} Not all could be saved: {error}"
    return region.message


def _is_ignored_hangup(number: signal.Signals) -> bool:
    """Under nohup a program goes on."""
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN


def _wait_for_the_end() -> NoReturn:
    while True:
        time.sleep(1.0)


def _end_process(message: str = STOPPED) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, f"error: {message}\n".encode())
    os._exit(EXIT_PREEMPTED)
