"""Rows divided over the replicas of a strategy, those of other processes included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink.training.multi_worker import Workers


class Replicas:
    """What each replica computes of its own share, joined again; on one replica nothing changes."""

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        self._strategy = strategy or tf.distribute.get_strategy()
        self._workers = Workers(self._strategy)
        self.count = self._strategy.num_replicas_in_sync

    def compiled(self, function: Callable[..., Any], *, jit: bool) -> Callable[..., Any]:
        """The function as a graph that every replica runs with its own part of the arguments."""
        one = tf.function(function, jit_compile=jit, autograph=False)
        if self.count == 1:
            return one
        return tf.function(lambda *args: self._strategy.run(one, args=args), autograph=False)

    def divide(self, rows: tf.Tensor) -> Any:
        """[N] -> a share of ceil(N / replicas) rows for each; the last row fills up."""
        if self.count == 1:
            return rows
        total = int(rows.shape[0])
        share = -(-total // self.count)

        def of_replica(context: tf.distribute.InputReplicaContext | Any) -> tf.Tensor:
            first = context.replica_id_in_sync_group * share
            return tf.gather(rows, np.minimum(np.arange(first, first + share), total - 1))

        return self._strategy.experimental_distribute_values_from_function(of_replica)

    def join(self, values: Any, total: int) -> np.ndarray:
        """The first `total` rows of all shares [ceil(N / replicas), ...], in their order."""
        shares = np.stack([part.numpy() for part in self._local(values)])
        every = np.zeros([self.count, *shares.shape[1:]], shares.dtype)
        first = self._workers.index * len(shares)
        every[first : first + len(shares)] = shares
        return self._workers.total(every).reshape(-1, *shares.shape[2:])[:total]

    def first(self, values: Any) -> Any:
        """The first row of a structure of shares, as this process has it."""
        return tf.nest.map_structure(lambda x: self._local(x)[0][0], values)

    def _local(self, values: Any) -> tuple[tf.Tensor, ...]:
        return self._strategy.experimental_local_results(values)
