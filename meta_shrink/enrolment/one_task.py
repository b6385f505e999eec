"""One task of a backbone: how it is adapted, and the file and the row of tasks.json it becomes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.adapters.checks import implausible
from meta_shrink.adapters.manifest import ENCODINGS, TaskFacts
from meta_shrink.adapters.writing import write_adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.enrolment.task_adaptation import Adapted, TaskAdaptation
from meta_shrink.enrolment.task_files import TaskFiles
from meta_shrink.errors import AdapterError, DataError, UsageError
from meta_shrink.evaluation import recorded_steps
from meta_shrink.sections import MOST, check_kinds, choose

MOST_CHARACTERS = 4_000  # Every adapter has the text.
# Codes of an AdapterError that the numbers of one task may cause.
OF_NUMBERS = ("value", "scale", "manifest", "probe")
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
    for name in ("consent", "licence"):
        text = getattr(options, name)
        if not text.isprintable() or len(text) > MOST_CHARACTERS:
            raise UsageError(
                f"options.{name} has {len(text)} characters; expected one line of at most "
                f"{MOST_CHARACTERS}, without tabs and the like."
            )
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
        if self._options.early_stop and task.heldout is None:
            raise DataError(
                "it has no held-out examples, which early stopping needs: give it some, or adapt "
                "it without."
            )
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
        try:
            content = self._backbone.seal(adapted.tensors, facts, **sealing(self._options))
        except AdapterError as error:
            if error.code not in OF_NUMBERS:
                raise
            raise _diverged(f"its adapter cannot be made ({error})", adapted) from error
        adapter = self._backbone.load_adapter(write_adapter(content, self._out))
        return {
            "adapter": adapter.id,
            "bytes": adapter.num_bytes,
            "examples": facts.examples,
            "steps": adapted.steps,
            "classes": list(task.classes),
            # Before early stopping went back, it may have diverged.
            "metric": {str(step): x for step, x in adapted.curve.items() if math.isfinite(x)},
            "unusual": implausible(adapter, self._backbone.info, self._backbone.default.tensors),
        }


def sealing(options: AdaptOptions) -> dict[str, str]:
    """The arguments of Backbone.seal that the options have."""
    return {name: getattr(options, name) for name in ("encoding", "consent", "licence")}


def _check_finite(adapted: Adapted) -> None:
    broken = [name for name, x in adapted.tensors.items() if not np.isfinite(x).all()]
    if not math.isfinite(adapted.curve.get(adapted.steps, 0.0)):
        broken.append("its held-out metric")
    if broken:
        raise _diverged(f"{broken[0]} is not finite", adapted)


def _diverged(what: str, adapted: Adapted) -> DataError:
    return DataError(
        f"its adaptation diverged: {what} after {adapted.steps} steps. Look at its data (numbers "
        "of another scale than those of the backbone's own tasks?), or adapt with fewer steps."
    )
