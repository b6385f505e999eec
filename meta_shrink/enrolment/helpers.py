"""Tasks shared between processes of this machine, each with a device of its own.

The process that was started reads the tasks and says what is done; helpers adapt them and write
nothing but adapters. A helper is given a task when it asks for one. It ends with the process that
started it, however that ends: its standard input is a pipe of which that one has the other end.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NamedTuple, NoReturn

import tensorflow as tf
from absl import logging

from meta_shrink.backbones.loaded import Backbone
from meta_shrink.enrolment.one_task import AdaptOptions, OneTask
from meta_shrink.enrolment.task_files import TaskFiles
from meta_shrink.errors import EXIT_PREEMPTED, DataError, MetaShrinkError, Preempted

GPUS = "CUDA_VISIBLE_DEVICES"
SECONDS_BETWEEN_LOOKS = 0.5  # at a stop request; a signal interrupts the waiting.
_MAIN = "from meta_shrink.enrolment.helpers import main; main()"

Named = tuple[str, TaskFiles]
Rows = Generator[tuple[str, dict[str, Any] | DataError], None, None]


class Orders(NamedTuple):
    """What a helper is told first, so that it computes what the process that started it would.

    threads: of TensorFlow, between and within operations. short_factors: TF32 is allowed.
    """

    backbone: str
    allow_operations: tuple[str, ...]
    out: str
    options: AdaptOptions
    threads: tuple[int, int]
    short_factors: bool


def adapted_by_helpers(
    backbone: Backbone,
    tasks: Iterator[Named],
    out: str,
    options: AdaptOptions,
    *,
    processes: int,
    stop_requested: Callable[[], bool],
    told: Callable[[str, int], Any],
) -> Rows:
    """(name, row of tasks.json, or why there is none) of each task, as soon as it is done.

    Args:
      processes: most helpers; no more are started than there are tasks.
      told: called with the name of a task and the number of its steps that are done.

    Raises:
      UsageError, AdapterError, OSError: of the first task that fails; the others that are under
        way are given up.
      Preempted: a stop was requested, or a helper was killed.
    """
    orders = _orders(backbone, out, options)
    # Before any is started: where all is done already, none is.
    first = list(itertools.islice(tasks, processes))
    tasks = itertools.chain(first, tasks)
    with contextlib.ExitStack() as stack:
        helpers = [stack.enter_context(_Helper(orders, number)) for number in range(len(first))]
        at_work: dict[Any, _Helper] = {helper.connection: helper for helper in helpers}
        while at_work:
            if stop_requested():
                raise Preempted("Adaptation was stopped; the same command does these tasks again.")
            for ready in wait(list(at_work), SECONDS_BETWEEN_LOOKS):
                helper = at_work[ready]
                answer = helper.answer()
                if isinstance(answer, int):
                    told(helper.task, answer)
                elif isinstance(answer, (dict, DataError)):
                    yield helper.task, answer
                elif not helper.give(next(tasks, None)):
                    del at_work[ready]


class _Helper:
    """A process that adapts tasks; `with` kills it at the end, which no adapter suffers from.

    task: the name of the last one that it was given.
    """

    def __init__(self, orders: Orders, number: int) -> None:
        self.task, self._orders, self._number = "", orders, number

    def __enter__(self) -> _Helper:
        self.connection, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _MAIN, str(theirs.fileno())],
            env=_environment(self._number),
            stdin=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            # Ctrl-C is sent to all processes of a terminal's group: only we are to hear it.
            process_group=0,
        )
        theirs.close()
        with contextlib.suppress(OSError):  # If it has ended, the first answer tells.
            self.connection.send(self._orders)
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # Closes the pipe and waits.
            self._process.kill()
        self.connection.close()

    def give(self, task: Named | None) -> bool:
        """Give it a task, or None; whether there was one."""
        if task is not None:
            self.task = task[0]
            with contextlib.suppress(OSError):
                self.connection.send(task[1])
        return task is not None

    def answer(self) -> Any:
        """What it says: steps done, the row of its task or what is wrong with its data, or None,
        for it wants another.

        Raises:
          MetaShrinkError, OSError: what its task ended with, or that it ended itself.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            answer = _ended(self._process.wait())
        if isinstance(answer, Exception) and not isinstance(answer, DataError):
            raise answer
        return answer


def _ended(code: int) -> MetaShrinkError:
    if code < 0:
        return Preempted(
            f"A process that adapts tasks was killed by {signal.Signals(-code).name}; finished "
            "tasks are kept, and the same command goes on (fewer --processes need less memory)."
        )
    return MetaShrinkError(
        f"A process that adapts tasks ended with exit code {code}; what it said is above."
    )


def _orders(backbone: Backbone, out: str, options: AdaptOptions) -> Orders:
    threads = tf.config.threading
    return Orders(
        backbone.path,
        backbone.allow_operations,
        out,
        options,
        (threads.get_inter_op_parallelism_threads(), threads.get_intra_op_parallelism_threads()),
        tf.config.experimental.tensor_float_32_execution_enabled(),
    )


def _environment(number: int) -> dict[str, str]:
    """The environment of a helper: the modules of this process, and one GPU where there are any."""
    own = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    count = len(tf.config.list_physical_devices("GPU"))
    if count:
        names = os.environ.get(GPUS) or ",".join(map(str, range(count)))
        own[GPUS] = names.split(",")[number % count]
        # Several may share one: TensorFlow takes all memory of a GPU otherwise.
        own.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    return own


def main() -> None:
    """A helper, told its descriptor by the command line."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Of warnings the process that started it has given its own.
    logging.set_verbosity(logging.ERROR)
    connection = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError):  # No more tasks.
        _serve(connection, connection.recv())


def _serve(connection: Connection, orders: Orders) -> None:
    tf.config.threading.set_inter_op_parallelism_threads(orders.threads[0])
    tf.config.threading.set_intra_op_parallelism_threads(orders.threads[1])
    tf.config.experimental.enable_tensor_float_32_execution(orders.short_factors)
    try:
        backbone = Backbone.load(orders.backbone, allow_operations=orders.allow_operations)
        adapt = OneTask(backbone, orders.out, orders.options)
        while True:
            connection.send(None)
            connection.send(_adapted(adapt, connection))
    except (MetaShrinkError, OSError) as error:
        connection.send(error)


def _adapted(adapt: OneTask, connection: Connection) -> dict[str, Any] | DataError:
    try:
        return adapt(connection.recv(), told=connection.send)
    except DataError as error:
        return error


def _end_with_parent() -> NoReturn:
    os.read(0, 1)
    os._exit(EXIT_PREEMPTED)
