"""TensorBoard scalars beside metrics.jsonl; a missing back end never stops training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf


class Summaries:
    """A log that passes each row on and writes its numbers as scalars for TensorBoard."""

    def __init__(self, directory: str, rows: Any, *, log: Callable[[str], Any] = print):
        """Open the folder, or say once why there will be no TensorBoard data.

        Args:
          directory: of the event files.
          rows: the log that gets every row first.
        """
        self._rows, self._log = rows, log
        try:
            self._writer = tf.summary.create_file_writer(directory)
        except (ImportError, RuntimeError, tf.errors.OpError) as error:
            log(f"No TensorBoard data ({error}); metrics.jsonl has every number.")
            self._writer = None

    def append(self, row: Mapping[str, Any]) -> None:
        """One row: "step", "kind" and named numbers; scalars are called kind/name."""
        self._rows.append(row)
        if self._writer is None:
            return
        try:
            with self._writer.as_default(step=int(row["step"])):
                for name, value in row.items():
                    if name not in ("step", "kind"):
                        tf.summary.scalar(f"{row['kind']}/{name}", value)
        except tf.errors.OpError as error:  # A full disk: metrics.jsonl waits, this does not.
            self._log(f"No more TensorBoard data ({error.message.splitlines()[0]}).")
            self._writer = None
