"""One task of a backbone: how it is adapted, and the file and the row of tasks.json it becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.adapters.checks import implausible
from meta_shrink.adapters.manifest import ENCODINGS, TaskFacts
from meta_shrink.adapters.writing import write_adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.enrolment.task_adaptation import Adapted, TaskAdaptation
from meta_shrink.enrolment.task_files import TaskFiles
from meta_shrink.errors import DataError, UsageError
from meta_shrink.evaluation import recorded_steps
from meta_shrink.sections import check_kinds, choose

MOST = 2**31 - 1  # TensorFlow counts steps, and draws by seeds, in 32 bits.
RANGES = {
    "steps": (0, MOST),
    "seed": (0, MOST),
    "points": (2, 10_000),  # Each is a measurement.
    "early_stop": (0, MOST),
    "num_heldout": (0, MOST),
}


class AdaptOptions(NamedTuple):
    """How tasks are adapted.

    steps: 0 is the backbone's own. seed: of mini-batches and augmentation. encoding: of the files.
    points: about as many steps at which the held-out metric is recorded. early_stop: end after
    this many records without a better one; 0: never. num_heldout: pictures of each class kept for
    the metric. consent, licence: text for the files.
    """

    steps: int = 0
    seed: int = 0
    encoding: str = "f32"
    points: int = 8
    early_stop: int = 0
    num_heldout: int = 0
    consent: str = ""
    licence: str = ""


def check_options(options: AdaptOptions) -> None:
    """Before anything is read or written.

    Raises:
      UsageError: a value of another kind, out of range, or an encoding that there is not.
    """
    check_kinds("options", AdaptOptions, options._asdict())
    choose("options.encoding", dict.fromkeys(ENCODINGS), options.encoding)
    for name, (least, most) in RANGES.items():
        if not least <= getattr(options, name) <= most:
            raise UsageError(
                f"options.{name} is {getattr(options, name)}; expected {least} to {most}."
            )


class OneTask:
    """Adapts tasks one after another and writes their adapters into a folder."""

    def __init__(self, backbone: Backbone, out: str, options: AdaptOptions) -> None:
        self._backbone, self._out, self._options = backbone, out, options
        self._adapt = TaskAdaptation(backbone)

    def __call__(
        self,
        task: TaskFiles,
        *,
        stop_requested: Callable[[], bool] = lambda: False,
        told: Callable[[int], Any] = lambda step: None,
    ) -> dict[str, Any]:
        """The row of a task in tasks.json; its adapter is written.

        Raises:
          UsageError, DataError, Preempted: of TaskAdaptation; DataError if it diverges.
          AdapterError: of Backbone.seal.
          OSError: it could not be written.
        """
        steps = self._options.steps or self._adapt.steps
        adapted = self._adapt(
            task.train,
            task.heldout,
            steps=steps,
            seed=self._options.seed,
            record=recorded_steps(steps, points=self._options.points),
            early_stop=self._options.early_stop,
            stop_requested=stop_requested,
            told=told,
        )
        return self._write(task, adapted)

    def _write(self, task: TaskFiles, adapted: Adapted) -> dict[str, Any]:
        """Write one adapter and load it as a server will."""
        _check_finite(adapted)
        # No name: the file may go where nobody should know whose it is.
        facts = TaskFacts("", task.train.count, adapted.steps, self._options.seed)
        content = self._backbone.seal(
            adapted.tensors,
            facts,
            encoding=self._options.encoding,
            consent=self._options.consent,
            licence=self._options.licence,
        )
        adapter = self._backbone.load_adapter(write_adapter(content, self._out))
        return {
            "adapter": adapter.id,
            "bytes": adapter.num_bytes,
            "examples": facts.examples,
            "steps": adapted.steps,
            "classes": list(task.classes),
            "metric": {str(step): value for step, value in adapted.curve.items()},
            "unusual": implausible(adapter, self._backbone.info, self._backbone.default.tensors),
        }


def _check_finite(adapted: Adapted) -> None:
    broken = [name for name, x in adapted.tensors.items() if not np.isfinite(x).all()]
    if broken:
        raise DataError(
            f"its adaptation diverged: {broken[0]} is not finite after {adapted.steps} steps. Look "
            "at its data (numbers of another scale than those of the backbone's own tasks?), or "
            "adapt with fewer steps."
        )
