"""What a pre-training keeps in its folder: its state, its curve, the parameters along it.

The parameters are kept where a run ended, and at about MOST_KEPT steps evenly between: at every
point of the curve, those of a long pre-training would take tens of gigabytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.durable_files import append_whole, read_file, write_atomically
from meta_shrink.errors import UsageError
from meta_shrink.training.kept_arrays import read_arrays, write_arrays
from meta_shrink.types import Params

STATE, CURVE = "state.npz", "curve.jsonl"
MOST_KEPT = 16


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

    def save(self, folder: str, row: dict[str, Any] | None = None) -> None:
        """Writes all that a resume needs; row: of the curve, which is to follow."""
        values = {name: np.asarray(v.value) for name, v in self._variables().items()}
        more = {"step": self.done, "seconds": self.seconds, "losses": np.array(self.losses)}
        told = {} if row is None else {"row": np.array(json.dumps(row))}
        write_arrays(os.path.join(folder, STATE), {**values, **more, **told})

    def point(self, folder: str, loss: float, metric: float, every: int, *, is_end: bool) -> None:
        """Saves the state and one point of the curve, and thins the parameters that are kept.

        Args:
          loss, metric: of training since the last point, of the validation batch. every: steps
            between two points. is_end: the parameters here are what the run wanted.
        """
        self.losses = []
        row = {"step": self.done, "nll_train": loss, "metric": metric, "end": is_end}
        row |= {"processor_seconds": round(self.seconds, 1), "time": round(time.time(), 1)}
        self.save(folder, row)
        values = zip(_names(self.model), self.params(), strict=True)
        _tell(folder, row, {name: value.numpy() for name, value in values})
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
        values, variables = read_arrays(path), self._variables()
        if values is None or not _is_whole(values, variables):
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
    values, names = read_arrays(_point(folder, steps)), _names(model)
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    if values is None or {n: v.shape for n, v in values.items()} != dict(
        zip(names, shapes, strict=True)
    ):
        return None
    _mark_end(folder, steps)
    log(f"warm start: {steps} steps were done before, in {folder}.")
    return [tf.constant(values[name]) for name in names]


def mend(folder: str, model: keras.Model) -> None:
    """Writes the rest of a point whose process was killed when it had saved its state."""
    values, names = read_arrays(os.path.join(folder, STATE)) or {}, _names(model)
    if "row" not in values or not set(names) <= set(values):
        return
    row = json.loads(str(values["row"]))
    if row["step"] not in {told["step"] for told in _rows(folder)}:
        _tell(folder, row, {name: values[name] for name in names})


def _tell(folder: str, row: dict[str, Any], params: dict[str, np.ndarray]) -> None:
    """Parameters of a point, then its row: one that stands there has them."""
    write_arrays(_point(folder, row["step"]), params)
    append_whole(os.path.join(folder, CURVE), (json.dumps(row) + "\n").encode())


def _is_whole(values: dict[str, np.ndarray], variables: dict[str, Any]) -> bool:
    """Whether a state has all that is read of it, for a network of these shapes."""
    shapes: dict[str, Any] = {"step": (), "seconds": ()}
    shapes |= {name: tuple(variable.shape) for name, variable in variables.items()}
    return all(name in values and values[name].shape == shapes[name] for name in shapes)


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
    return {row["step"] for row in _rows(folder) if row.get("end")}


def _rows(folder: str) -> list[dict[str, Any]]:
    """The points of the curve."""
    path, rows = os.path.join(folder, CURVE), []
    for line in read_file(path).splitlines() if os.path.exists(path) else ():
        with contextlib.suppress(ValueError):  # Half a line, of a process that was killed.
            rows.append(json.loads(line))
    return rows


def _mark_end(folder: str, step: int) -> None:
    """A run ended at this point too: its parameters are kept."""
    rows = _rows(folder)
    if any(row["step"] == step and not row.get("end") for row in rows):
        marked = [{**row, "end": row["step"] == step or row.get("end", False)} for row in rows]
        lines = "".join(json.dumps(row) + "\n" for row in marked)
        write_atomically(os.path.join(folder, CURVE), lines.encode())


def _listed(steps: list[int]) -> str:
    return ", ".join(f"{step:,}" for step in steps) or "none"


def _names(model: keras.Model) -> list[str]:
    return [v.path.removeprefix(f"{model.name}/") for v in model.trainable_variables]


def _point(folder: str, step: int) -> str:
    return os.path.join(folder, f"step_{step:08}.npz")
