"""Dynamic batching: single rows, each with an adapter of its own, answered many at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.adapters.reading import Adapter
from meta_shrink.errors import MetaShrinkError, Overloaded, Stopping
from meta_shrink.serving.bank import AdapterBank
from meta_shrink.serving.options import MAX_BATCH, MAX_DELAY_MS, check_count, check_time
from meta_shrink.serving.protocol import ServedBackbone
from meta_shrink.serving.rows import as_row, row_shape

Answer = dict[str, np.ndarray]


class _Row(NamedTuple):
    """The inputs of a row and its answer to come."""

    inputs: dict[str, np.ndarray]
    answer: Future[Answer]


class _Ready(NamedTuple):
    """A row in the queue. Its adapter is pinned in the bank, unless it is phi's own."""

    row: _Row
    adapter: Adapter
    pinned: bool
    since: float


class Batcher:
    """Collects rows for at most `max_delay_ms`, answers up to `max_batch` of them in one call.

    A row joins the queue once its adapter is resident. Adapters are loaded by `loaders` threads:
    rows with other adapters do not wait for them. A row whose adapter is unknown or broken gets the
    AdapterError and is never part of a batch. Should the network fail on a batch (an integer out
    of the range of an embedding, say), its rows run one by one, so that only the row at fault
    fails. At most `max_queue` rows wait, half of them for loads. max_delay_ms: 60,000 at most.

    on_batch: called with (rows, seconds) of every batch.
    """

    def __init__(
        self,
        backbone: ServedBackbone,
        bank: AdapterBank,
        *,
        max_batch: int = 32,
        max_delay_ms: float = 2.0,
        max_queue: int = 1024,
        loaders: int = 2,
        on_batch: Callable[[int, float], object] = lambda rows, seconds: None,
    ) -> None:
        check_count("max_batch", max_batch, most=MAX_BATCH)
        check_count("max_queue", max_queue)
        check_count("loaders", loaders)
        check_time("max_delay_ms", max_delay_ms, most=MAX_DELAY_MS, zero=True)
        self._backbone, self._bank, self._on_batch = backbone, bank, on_batch
        self._max_batch, self._max_queue = max_batch, max_queue
        self._max_delay = max_delay_ms / 1000
        self._changed = threading.Condition()  # guards all below
        self._queue: deque[_Ready] = deque()
        self._waiting: dict[str, list[_Row]] = {}  # by the id of the adapter that is loaded
        self._open = self._open_loads = 0  # rows without an answer; those of them in _waiting
        self._closed = False
        self._loaders = ThreadPoolExecutor(loaders, "load-adapter")
        self._worker = threading.Thread(target=self._run, name="batches", daemon=True)
        self._worker.start()

    def __enter__(self) -> Batcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        """Rows that have no answer yet."""
        return self._open

    def submit(self, inputs: Mapping[str, Any], adapter: str | None = None) -> Future[Answer]:
        """The outputs, {name: [...]}, to come of one example, {name: [...]}, no batch axis.

        adapter: id or alias; None is phi itself. What is wrong with it is an AdapterError of the
        future, and so is an Overloaded where too many rows wait for loads. A future that is
        cancelled before its batch starts is left out of it.

        Raises:
          UsageError: the inputs are not those of the network.
          Overloaded: `max_queue` rows wait already.
          Stopping: after `close`.
        """
        row = _Row(as_row(self._backbone.info, inputs), Future())
        with self._changed:
            if self._closed:
                raise Stopping("The server is stopping: send the request to another one.")
            _check_room(self._open, self._max_queue)
            self._open += 1
        row.answer.add_done_callback(self._end_row)
        try:
            self._dispatch(row, adapter)
        except MetaShrinkError as error:
            _fail(row, error)
        return row.answer

    def close(self) -> None:
        """Refuse new rows, answer those that wait, stop the threads. May be called again."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._worker.join()
        self._loaders.shutdown()

    def _end_row(self, _: Future[Answer]) -> None:
        with self._changed:
            self._open -= 1
            if self._closed:
                self._changed.notify_all()

    def _dispatch(self, row: _Row, name: str | None) -> None:
        """Into the queue, or to the rows that wait for the same adapter."""
        if name is None:
            return self._enqueue([row], self._backbone.default, pinned=False)
        key = self._bank.resolve(name)
        if (adapter := self._bank.acquire_resident(key)) is not None:
            return self._enqueue([row], adapter, pinned=True)
        with self._changed:
            _check_room(self._open_loads, max(self._max_queue // 2, 1))
            self._open_loads += 1
            rows = self._waiting.setdefault(key, [])
            rows.append(row)
            if len(rows) == 1:
                self._loaders.submit(self._load, key)
        return None

    def _enqueue(self, rows: Sequence[_Row], adapter: Adapter, *, pinned: bool) -> None:
        now = time.monotonic()
        with self._changed:
            was_empty = not self._queue
            self._queue.extend(_Ready(row, adapter, pinned, now) for row in rows)
            if was_empty or self._is_full():  # In between there is nothing to wake up for.
                self._changed.notify_all()

    def _load(self, key: str) -> None:
        """Load an adapter for all rows that wait for it."""
        try:
            adapter = self._bank.acquire(key, counted=False)  # Each row was, when it came.
        except Exception as error:  # Whatever it is, the rows have to learn of it.
            for row in self._take_waiting(key):
                _fail(row, error)
            return
        rows = self._take_waiting(key)
        self._bank.pin_again(adapter, len(rows) - 1)  # The first row has the pin of this load.
        self._enqueue(rows, adapter, pinned=True)

    def _take_waiting(self, key: str) -> list[_Row]:
        with self._changed:
            rows = self._waiting.pop(key)
            self._open_loads -= len(rows)
            return rows

    def _run(self) -> None:
        while batch := self._collect():
            batch.sort(key=lambda ready: row_shape(ready.row.inputs))
            for _, rows in groupby(batch, key=lambda ready: row_shape(ready.row.inputs)):
                self._serve(list(rows))

    def _collect(self) -> list[_Ready]:
        """The rows of the next batch; none once all are answered after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or (self._closed and not self._open))
            if not self._queue:
                return []
            deadline = self._queue[0].since + self._max_delay
            self._changed.wait_for(self._is_full, deadline - time.monotonic())
            return [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch))]

    def _is_full(self) -> bool:
        return self._closed or len(self._queue) >= self._max_batch

    def _serve(self, batch: Sequence[_Ready]) -> None:
        """Answer rows of one shape."""
        start = time.perf_counter()
        live = [ready for ready in batch if ready.row.answer.set_running_or_notify_cancel()]
        answers = self._answers(live) if live else []
        for ready in batch:
            if ready.pinned:
                self._bank.release(ready.adapter)
        if live:
            self._on_batch(len(live), time.perf_counter() - start)
        for ready, answer in zip(live, answers, strict=True):
            _set(ready.row.answer, answer)

    def _answers(self, batch: Sequence[_Ready]) -> list[Answer | Exception]:
        try:
            return list(self._predict(batch))
        except Exception as error:  # Whatever the network raises belongs to rows, not to us.
            if len(batch) == 1:
                return [error]
            return [answer for ready in batch for answer in self._answers([ready])]

    def _predict(self, batch: Sequence[_Ready]) -> list[Answer]:
        adapters = {ready.adapter.id: ready.adapter for ready in batch}
        position = {key: number for number, key in enumerate(adapters)}
        index = np.array([position[ready.adapter.id] for ready in batch], np.int32)
        rows = [ready.row.inputs for ready in batch]
        inputs = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        outputs = self._backbone.predict_mixed(inputs, list(adapters.values()), index)
        return [{name: value[row] for name, value in outputs.items()} for row in range(len(batch))]


def _check_room(rows: int, limit: int) -> None:
    if rows >= limit:
        raise Overloaded(f"{rows} rows are waiting already: try again later.")


def _fail(row: _Row, error: Exception) -> None:
    """Answer a row that is in no batch."""
    if row.answer.set_running_or_notify_cancel():
        row.answer.set_exception(error)


def _set(future: Future[Answer], answer: Answer | Exception) -> None:
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
