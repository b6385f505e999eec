"""Adapted tasks of an evaluation, kept in its workdir until it is whole: a stop costs a few."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink import __version__
from meta_shrink.durable_files import to_json
from meta_shrink.evaluation import Curves, Keep
from meta_shrink.experiments.build import Experiment
from meta_shrink.training.kept_arrays import read_arrays, write_arrays
from meta_shrink.types import MetaParams

FOLDER, SUFFIX = "evaluation_parts", ".npz"


class EvaluationParts:
    """A file for each group of tasks that has adapted, named by all that decides what it holds."""

    def __init__(
        self,
        workdir: str,
        experiment: Experiment,
        step: int,
        *,
        alone: bool,
        log: Callable[[str], Any],
    ) -> None:
        """Nothing is written yet.

        Args:
          step: meta-step of the checkpoint. alone: whether one process evaluates; several keep
            nothing. log: told what is found, or that nothing can be kept.
        """
        self._folder, self._alone, self._log = os.path.join(workdir, FOLDER), alone, log
        config = {name: value for name, value in experiment.config.items() if name != "eval"}
        self._facts = [to_json(config), step, __version__, tf.__version__]
        self._known, self._goes_on = set[str](), False  # Two subsets may share a part.

    def keep(self, meta: MetaParams, *told: Any) -> Keep:
        """For the curves under Phi, restricted to what adapts.

        Args:
          told: what else decides them, as JSON: their steps, which metrics.
        """
        digest = hashlib.sha256(json.dumps([self._facts, told], sort_keys=True).encode())
        for value in filter(lambda value: value is not None, tf.nest.flatten(meta)):
            digest.update(np.asarray(value).tobytes())

        def keep(tasks: range, make: Callable[[], Curves]) -> Curves:
            own = digest.copy()
            own.update(f"{tasks.start} {tasks.stop}".encode())
            path = os.path.join(self._folder, own.hexdigest()[:32] + SUFFIX)
            found = _read(path)
            if found is None:
                found = make()
                self._write(path, found)
            elif path not in self._known and not self._goes_on:
                self._goes_on = True
                self._log(f"Going on where it was stopped; to start anew, remove {self._folder}.")
            self._known.add(path)
            return found

        return keep if self._alone else lambda tasks, make: make()

    def _write(self, path: str, curves: Curves) -> None:
        """A full disk costs what is kept, not the evaluation."""
        arrays = {"steps": curves.steps}
        arrays |= {f"metric_{n}": metric for n, metric in enumerate(curves.metrics)}
        if curves.parameter_error is not None:
            arrays["parameter_error"] = curves.parameter_error
        try:
            os.makedirs(self._folder, exist_ok=True)
            write_arrays(path, arrays)
        except OSError as error:
            self._log(
                f"{self._folder} cannot be written ({error}): a stop would cost what is done."
            )

    def remove(self) -> None:
        """Once the evaluation is written."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self._folder):
                if name.endswith((SUFFIX, ".tmp")):
                    os.remove(os.path.join(self._folder, name))
            os.rmdir(self._folder)


def _read(path: str) -> Curves | None:
    """None where there is none, or a damaged one: it is made again."""
    found = read_arrays(path)
    if found is None or "steps" not in found:
        return None
    metrics = [found[f"metric_{n}"] for n in range(len(found)) if f"metric_{n}" in found]
    return Curves(found["steps"], metrics, found.get("parameter_error"))
