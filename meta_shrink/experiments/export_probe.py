"""The fixed input of a backbone: numbers and lengths that the network takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import Probe
from meta_shrink.adapters.probe import uniform_inputs
from meta_shrink.backbones.source import call_model, input_specs
from meta_shrink.errors import UsageError
from meta_shrink.experiments.build import Experiment
from meta_shrink.rng import root_key
from meta_shrink.types import Params, batch_parts

TASKS = 16
USUAL_RANGE, USUAL_LENGTH = (-1.0, 1.0), 16


def chosen_probe(experiment: Experiment, phi: Params, state: list[np.ndarray]) -> Probe:
    """The first of a few fixed inputs to which the network of phi answers with finite numbers.

    Numbers from -1 to 1 and lengths of 16, or as in the meta-training tasks: a logarithm takes no
    negative numbers, and a filter of 20 no input of 16.

    Raises:
      UsageError: it answers none of them so.
    """
    pictures, seen = experiment.source.pictures, _Seen(experiment)
    integers = seen.integers()
    why = ""
    for length in (lambda: USUAL_LENGTH, seen.length):
        for numbers in (lambda: USUAL_RANGE, seen.range):
            low, high = (0.0, 256.0) if pictures else numbers()
            probe = Probe(0, low, high, length(), 0.0, integers)
            why = _fails(experiment, phi, state, probe)
            if not why:
                return probe
    raise UsageError(
        f"The network cannot be exported: {why} for its fixed input, by which every adapter is "
        f"checked (numbers from {low:.3g} to {high:.3g}, as in the training tasks). Let its first "
        "layers take any such numbers and lengths."
    )


def _fails(experiment: Experiment, phi: Params, state: list[np.ndarray], probe: Probe) -> str:
    """What is wrong with the network's answer to this probe; "" if nothing is."""
    inputs = uniform_inputs(probe, input_specs(experiment.model))
    given = {name: tf.constant(value) for name, value in inputs.items()}
    try:
        outputs = call_model(experiment.model, phi, state, given, training=False)
    except (tf.errors.OpError, ValueError, TypeError) as error:
        return f"it fails ({str(error).strip().splitlines()[0][:200]})"
    finite = all(np.isfinite(np.asarray(x, np.float64)).all() for x in outputs.values())
    return "" if finite else "its outputs are not finite"


class _Seen:
    """The inputs of meta-training tasks, drawn when they are asked for."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._specs = input_specs(experiment.model)
        self._rows: list[list[np.ndarray]] = []

    def _inputs(self) -> list[list[np.ndarray]]:
        """Of TASKS tasks, in the order of the model's inputs."""
        if not self._rows:
            self._rows = list(_drawn(self._experiment, [spec.name for spec in self._specs]))
        return self._rows

    def _of_kind(self, *, whole: bool) -> list[list[np.ndarray]]:
        kinds = [keras.backend.is_int_dtype(spec.dtype) for spec in self._specs]
        return [
            [x for x, kind in zip(row, kinds, strict=True) if kind is whole]
            for row in self._inputs()
        ]

    def integers(self) -> int:
        """One more than the smallest largest number of an integer input: a number that every such
        input takes; 0 where none is of integers."""
        if not any(keras.backend.is_int_dtype(spec.dtype) for spec in self._specs):
            return 0
        columns = zip(*self._of_kind(whole=True), strict=True)
        return max(1, 1 + min(int(max(x.max() for x in column)) for column in columns))

    def range(self) -> tuple[float, float]:
        """Numbers that lie within those of every input of every task, where there are any."""
        floats = [x for row in self._of_kind(whole=False) for x in row if x.size]
        if not floats:
            return USUAL_RANGE
        low, high = max(float(x.min()) for x in floats), min(float(x.max()) for x in floats)
        return min(low, high), max(low, high)

    def length(self) -> int:
        """Of the axes of any length, in the first task."""
        lengths = [
            size
            for x, spec in zip(self._inputs()[0], self._specs, strict=True)
            for size, told in zip(x.shape[1:], spec.shape, strict=True)
            if told is None
        ]
        return max(lengths, default=USUAL_LENGTH)


def _drawn(experiment: Experiment, names: list[str]) -> Iterator[list[np.ndarray]]:
    next_batch, source = experiment.adapt.next_batch, experiment.source

    @tf.function(autograph=False)
    def batch(number: tf.Tensor) -> Any:
        task = source.sample(root_key(experiment.config["seed"], "probe", number))
        return batch_parts(next_batch(task, tf.constant(0)))[0]

    for number in range(TASKS):
        inputs = batch(tf.constant(number))
        by_name = isinstance(inputs, Mapping) and len(names) > 1
        flat = [inputs[name] for name in names] if by_name else tf.nest.flatten(inputs)
        yield [np.asarray(x) for x in flat]
