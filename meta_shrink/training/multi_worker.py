"""Several processes as one job: which of them writes, and what all of them agree upon.

Every process runs the same program. What one decides by itself (a signal, the clock, a file that it
sees) is agreed before it changes what is computed: their reductions would not meet otherwise.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink.errors import Preempted, UsageError

_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)


_TRACE = re.compile(r'File ".*?", line \d+, in \S+')


class Workers:
    """The processes of a strategy; this one alone unless it is a MultiWorkerMirroredStrategy.

    count: how many. index: of this one. is_chief: whether it is the one that writes.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy, self.index, self.count = strategy, 0, 1
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            tasks = {job: len(hosts) for job, hosts in resolver.cluster_spec().as_dict().items()}
            self.count = sum(tasks.values())
            self.index = resolver.task_id
            self.index += tasks.get("chief", 0) if resolver.task_type == "worker" else 0
        self.is_chief = self.index == 0
        self._sum = tf.function(self._summed, autograph=False)

    def told_by_chief(self, log: Callable[[str], Any]) -> Callable[[str], Any]:
        """The log in the chief; in the other processes one that says nothing."""
        return log if self.is_chief else lambda message: None

    def gather(self, *numbers: float) -> np.ndarray:
        """The numbers of all processes [count, K], the chief's first; waits for all of them."""
        rows = np.zeros([self.count, len(numbers)])
        rows[self.index] = numbers
        return self.total(rows)

    def total(self, values: np.ndarray) -> np.ndarray:
        """The sum of an array over all processes, the same in each; waits for all of them."""
        if self.count == 1:
            return values
        return self._sum(tf.constant(values)).numpy()

    def _summed(self, values: tf.Tensor) -> tf.Tensor:
        def of_replica() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            is_first = context.replica_id_in_sync_group % replicas == 0
            mine = tf.where(is_first, values, tf.zeros_like(values))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, mine)

        replicas = self._strategy.num_replicas_in_sync // self.count
        return self._strategy.experimental_local_results(self._strategy.run(of_replica))[0]

    @contextlib.contextmanager
    def chief_first(self) -> Iterator[None]:
        """A block that the other processes enter when the chief has left it."""
        if not self.is_chief:
            self.gather(0)
        yield
        if self.is_chief:
            self.gather(0)

    def agree(self, burst: int, stop: bool) -> tuple[int, bool]:
        """The chief's number of meta-steps, and whether any process wants to stop."""
        rows = self.gather(burst, stop)
        return int(rows[0, 0]), bool(rows[:, 1].any())

    def require_same(self, what: str, text: str) -> None:
        """Refuse a job whose processes were given different things.

        Args:
          what: for the sentence. text: what must be the same in every process.

        Raises:
          UsageError: in every process.
        """
        digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])  # Exact as a float64.
        rows = self.gather(digest)
        if (rows != rows[0]).any():
            raise UsageError(
                f"The {self.count} processes of this job differ in their {what}; give all of them "
                "the same."
            )

    @contextlib.contextmanager
    def loss_told(self) -> Iterator[None]:
        """A block whose end for want of another process is told in one sentence.

        Raises:
          Preempted: another process ended, so that this one could not go on.
        """
        try:
            yield
        except _LOST as error:
            if self.count == 1:
                raise
            # What stands behind the last line of the trace that TensorFlow puts into it.
            reason = " ".join(_TRACE.split(str(error.message))[-1].split())[:200]
            raise Preempted(
                "Another process of this job ended or does not answer; start all of them again, "
                f"they resume at the last checkpoint ({reason})."
            ) from error
