"""TensorBoard data beside metrics.jsonl; a missing back end never stops training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from meta_shrink.durable_files import to_json


class Summaries:
    """A log that passes each row on and writes its numbers as scalars for TensorBoard.

    The rows of training also get the learning rates; the config is there as text.
    """

    def __init__(
        self,
        directory: str,
        rows: Any,
        *,
        config: Mapping[str, Any],
        learning_rates: Callable[[], Mapping[str, float]] = dict,
        log: Callable[[str], Any] = print,
    ):
        """Open the folder, or say once why there will be no TensorBoard data.

        Args:
          directory: of the event files.
          rows: the log that gets every row first.
          config: of the run. learning_rates: the present ones by name.
        """
        self._rows, self._log, self._rates = rows, log, learning_rates
        text = json.dumps(to_json(config), indent=2, ensure_ascii=False)
        try:
            self._writer = tf.summary.create_file_writer(directory)
            with self._writer.as_default(step=0):
                tf.summary.text("config", f"```json\n{text}\n```")
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
                for name, rate in self._rates().items() if row["kind"] == "train" else ():
                    tf.summary.scalar(f"learning_rate/{name}", rate)
        except tf.errors.OpError as error:  # A full disk: metrics.jsonl waits, this does not.
            self._log(f"No more TensorBoard data ({error.message.splitlines()[0]}).")
            self._writer = None
