"""What a pre-training keeps in its folder: its state, its curve, the parameters along it.

The parameters are kept where a run ended, and at about MOST_KEPT steps evenly between: at every
point of the curve, those of a long pre-training would take tens of gigabytes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.durable_files import open_file, open_regular, read_file, write_atomically
from meta_shrink.errors import UsageError
from meta_shrink.types import Params

STATE, CURVE = "state.npz", "curve.jsonl"
MOST_KEPT = 16
_DAMAGED = (OSError, ValueError, KeyError, zipfile.BadZipFile)


class PretrainingState:
    """Variables of the training, the processor seconds that it has taken, and the losses since the
    last point of the curve."""

    def __init__(self, model: keras.Model, optimizer, step: tf.Variable):
        self.model, self.optimizer, self.step, self.seconds = model, optimizer, step, 0.0
        self.losses: list[float] = []

    @classmethod
    def create(cls, model: keras.Model, learning_rate: float, halve_every: int) -> PretrainingState:
        """At step 0; Adam's rate is halved every `halve_every` steps, 0 for never."""
        rate: Any = learning_rate
        if halve_every:
            decay = keras.optimizers.schedules.ExponentialDecay
            rate = decay(rate, halve_every, 0.5, staircase=True)
        optimizer = keras.optimizers.Adam(rate)
        optimizer.build(model.trainable_variables)
        return cls(model, optimizer, tf.Variable(0, dtype=tf.int64, trainable=False))

    @property
    def done(self) -> int:
        """Steps done."""
        return int(self.step.numpy())

    def params(self) -> Params:
        """The model's trainable variables now."""
        return [tf.convert_to_tensor(v.value) for v in self.model.trainable_variables]

    def _variables(self) -> dict[str, Any]:
        own = dict(zip(_names(self.model), self.model.trainable_variables, strict=True))
        for number, variable in enumerate(self.optimizer.variables):
            own[f"optimizer/{number}"] = variable
        return own

    def save(self, folder: str) -> None:
        """Writes all that a resume needs."""
        values = {name: np.asarray(v.value) for name, v in self._variables().items()}
        more = {"step": self.done, "seconds": self.seconds, "losses": np.array(self.losses)}
        _write(os.path.join(folder, STATE), {**values, **more})

    def point(self, folder: str, loss: float, metric: float, every: int, *, is_end: bool) -> None:
        """Saves the state and one point of the curve, and thins the parameters that are kept.

        Args:
          loss, metric: of training since the last point, of the validation batch. every: steps
            between two points. is_end: the parameters here are what the run wanted.
        """
        values = zip(_names(self.model), self.params(), strict=True)
        _write(_point(folder, self.done), {name: value.numpy() for name, value in values})
        self.losses = []
        self.save(folder)
        row = {"step": self.done, "nll_train": loss, "metric": metric, "end": is_end}
        row |= {"processor_seconds": round(self.seconds, 1), "time": round(time.time(), 1)}
        _append(os.path.join(folder, CURVE), row)
        kept = wanted_steps(self.done, every, _ends(folder))
        for step in sorted(set(kept_steps(folder)) - kept):
            if step < self.done:
                os.remove(_point(folder, step))

    def restore(self, folder: str, most: int, log: Callable[[str], Any]) -> None:
        """Reads what save wrote, if it is there and whole.

        Raises:
          UsageError: it is beyond step `most`.
        """
        path = os.path.join(folder, STATE)
        values, variables = _read(path), self._variables()
        if values is None or not set(variables) <= set(values):
            if os.path.exists(path):
                log(f"warm start: {path} is damaged or of another network; starting again.")
            return
        if int(values["step"]) > most:
            raise UsageError(
                f"warm_start.steps is {most}, but {folder} has gone on to {int(values['step'])} "
                f"and kept no parameters there, but at {_listed(kept_steps(folder))}: take one of "
                "these steps, or another warm_start.cache."
            )
        for name, variable in variables.items():
            variable.assign(values[name])
        self.step.assign(int(values["step"]))
        self.seconds = float(values["seconds"])
        self.losses = [float(loss) for loss in values.get("losses", ())]
        log(f"warm start: resuming at step {self.done}.")


def kept_params(folder: str, steps: int, model: keras.Model, log) -> Params | None:
    """The parameters at a point of the curve that was reached before."""
    values, names = _read(_point(folder, steps)), _names(model)
    if values is None or set(values) != set(names):
        return None
    log(f"warm start: {steps} steps were done before, in {folder}.")
    return [tf.constant(values[name]) for name in names]


def kept_steps(folder: str) -> list[int]:
    """The steps whose parameters are there, in order."""
    found = [re.fullmatch(r"step_(\d+)\.npz", name) for name in os.listdir(folder)]
    return sorted(int(match[1]) for match in found if match)


def wanted_steps(done: int, every: int, ends: set[int]) -> set[int]:
    """The steps whose parameters are kept after `done`: of all points at most MOST_KEPT, evenly,
    those where runs ended, and the last."""
    spacing = every
    while done // spacing > MOST_KEPT:
        spacing *= 2
    return {*range(spacing, done + 1, spacing), *ends, done}


def _ends(folder: str) -> set[int]:
    """The steps of the curve at which a run ended."""
    ends = set()
    for line in read_file(os.path.join(folder, CURVE)).splitlines():
        with contextlib.suppress(ValueError):  # Half a line, of a process that was killed.
            row = json.loads(line)
            ends |= {row["step"]} if row.get("end") else set()
    return ends


def _append(path: str, row: dict[str, Any]) -> None:
    descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _listed(steps: list[int]) -> str:
    return ", ".join(f"{step:,}" for step in steps) or "none"


def _names(model: keras.Model) -> list[str]:
    return [v.path.removeprefix(f"{model.name}/") for v in model.trainable_variables]


def _point(folder: str, step: int) -> str:
    return os.path.join(folder, f"step_{step:08}.npz")


def _write(path: str, values: dict[str, Any]) -> None:
    stream = io.BytesIO()
    np.savez(stream, **values)
    write_atomically(path, stream.getvalue())


def _read(path: str) -> dict[str, np.ndarray] | None:
    """The arrays of a file; None if it is missing or damaged."""
    try:
        with open_file(path) as content, np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except _DAMAGED:
        return None
