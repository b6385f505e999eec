"""A new task's adapter from its data, by an exported backbone: Eq. 4 for the selected modules only.

The gradient is the backbone's own signature, so neither the model's code nor its config is needed,
and nothing is computed for shared modules but their part of the forward pass.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.adaptation import (
    AdaptState,
    augmented_once,
    full_batch,
    proximal_steps,
    random_batch,
)
from meta_shrink.adapters.backbone_info import argument_name
from meta_shrink.adapters.recipe import TARGET_WEIGHTS, TARGETS
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.looked_up import looked_up
from meta_shrink.backbones.source import NOISE_KEY
from meta_shrink.enrolment.task_files import Examples, check_examples
from meta_shrink.errors import DataError, Preempted, UsageError
from meta_shrink.losses import LOSSES, METRICS, reduced, widened
from meta_shrink.network_loss import STEP, key_of_noise
from meta_shrink.proximal import TASK_OPTIMIZERS
from meta_shrink.sections import named
from meta_shrink.tasks.augment import random_affine
from meta_shrink.types import Task

# A stop request is seen, and progress told, about this often.
PIECE_SECONDS = 1.0
MOST_OUTPUTS = 2**24  # Numbers that are measured at a time.


class Adapted(NamedTuple):
    """The result of one task.

    tensors: those of an adapter. steps: adaptation steps taken. curve: {steps: held-out metric}.
    """

    tensors: dict[str, np.ndarray]
    steps: int
    curve: dict[int, float]


class TaskAdaptation:
    """Adapts tasks one after another with one backbone; traced once for tasks of any size.

    steps, batch_size: of the backbone's recipe. metric: the held-out metric, None without one.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone, recipe = backbone, backbone.info.adaptation
        self._names = [spec.name for spec in backbone.info.tensors if spec.kind == "variable"]
        self._optimizer = named("adaptation.optimizer", TASK_OPTIMIZERS, recipe.optimizer)
        self._augment = random_affine(**recipe.augment) if recipe.augment else None
        self.steps, self.batch_size = recipe.steps, recipe.batch_size
        self.metric = METRICS.get(recipe.metric)
        self._advance = tf.function(self._steps, autograph=False, reduce_retracing=True)

    def __call__(
        self,
        train: Examples,
        heldout: Examples | None = None,
        *,
        steps: int | None = None,
        seed: int = 0,
        record: Sequence[int] = (),
        early_stop: int = 0,
        stop_requested: Callable[[], bool] = lambda: False,
        told: Callable[[int], Any] = lambda step: None,
    ) -> Adapted:
        """Adapt one task from phi.

        Args:
          train: examples; where they are fewer than a mini-batch, every step sees them all.
          heldout: to record the metric on, with the moments of `train`, as it will be served.
          steps: proximal steps, those of the recipe by default.
          seed: of mini-batches and augmentation.
          record: steps at which the metric is recorded; the last one always is.
          early_stop: end after this many records without a better one and keep the best; 0: never.
          told: called with the number of steps done.

        Raises:
          UsageError: a number out of range, or early stopping without a metric to stop by.
          DataError: examples that do not fit the backbone.
          Preempted: a stop was requested.
        """
        total = self.steps if steps is None else steps
        self._check(heldout, total, early_stop, seed)
        train = check_examples(self._backbone.info, train)
        if heldout is not None:
            heldout = check_examples(self._backbone.info, heldout)
        task, phi = self._task(train, seed), self._phi()
        state = AdaptState(phi, self._optimizer.init(phi), tf.constant(0))
        curve: dict[int, float] = {}
        best, best_step, records_since = {}, -1, 0
        for target in sorted({*(step for step in record if 0 <= step < total), total}):
            state = self._until(target, task, state, stop_requested, told)
            tensors = self._tensors(state.theta, task)
            if heldout is not None and self.metric is not None:
                curve[target] = self._measure(tensors, heldout)
            better = not early_stop or not best or self._better(curve[target], curve[best_step])
            if better:
                best, best_step = tensors, target
            records_since = 0 if better else records_since + 1
            if early_stop and records_since >= early_stop:
                break
        return Adapted(best, best_step, curve)

    def _check(self, heldout: Examples | None, steps: int, early_stop: int, seed: int):
        if steps < 1 or early_stop < 0 or not 0 <= seed <= tf.int32.max:
            raise UsageError(
                f"adapt got steps={steps}, early_stop={early_stop}, seed={seed}; expected at least "
                f"1 step, early_stop >= 0 (0: never) and a seed from 0 to {tf.int32.max}."
            )
        if early_stop and (heldout is None or self.metric is None):
            raise UsageError("Early stopping needs held-out examples and a backbone with a metric.")

    def _task(self, train: Examples, seed: int) -> Task:
        inputs = {name: tf.constant(value) for name, value in train.inputs.items()}
        targets = {name: tf.constant(value) for name, value in train.named_targets.items()}
        # What augments takes one tensor; it is for networks with one input.
        one = next(iter(inputs.values())) if len(inputs) == 1 else inputs
        return Task((one, targets), (), tf.constant([seed, 0], tf.int32))

    def _phi(self) -> list[tf.Tensor]:
        return [tf.constant(self._backbone.default.tensors[name]) for name in self._names]

    def _until(self, target: int, task: Task, state: AdaptState, stop_requested, told):
        """The state at step `target`, in pieces of about a second."""
        whole = not self.batch_size or len(next(iter(task.train[1].values()))) < self.batch_size
        done, piece = int(state.step), 1
        while done < target:
            if stop_requested():
                raise Preempted("Adaptation was stopped; the same command does this task again.")
            start, piece = time.monotonic(), min(piece, target - done)
            with looked_up("A task to adapt to", DataError):
                state = self._advance(task, state, tf.constant(piece), whole=whole)
            done += piece
            told(done)
            quick = time.monotonic() - start < PIECE_SECONDS / 2
            piece = piece * 2 if quick else max(piece // 2, 1)
        return state

    def _steps(self, task: Task, state: AdaptState, num_steps: tf.Tensor, *, whole: bool):
        draw = (
            full_batch(augment=self._augment)
            if whole
            else random_batch(size=self.batch_size, augment=self._augment)
        )
        return proximal_steps(
            self._gradient(),
            self._optimizer,
            lambda step: (draw(task, step), self._noise(task, step)),
            state,
            (self._phi(), *self._prior()),
            num_steps,
            max_steps=None,
        )

    def _noise(self, task: Task, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """The key of a step's noise as the gradient takes it, where layers draw at random."""
        takes = self._backbone.signatures["gradient"].structured_input_signature[1]
        return {NOISE_KEY: key_of_noise(task.key, STEP, step)} if NOISE_KEY in takes else {}

    def _prior(self) -> tuple[list[float], list[float]]:
        """Precision and learning rate of each variable."""
        info = self._backbone.info
        facts = {module.name: module for module in info.modules}
        owners = [facts[spec.module] for spec in info.tensors if spec.kind == "variable"]
        precision = [0.0 if module.sigma2 is None else 1 / module.sigma2 for module in owners]
        return precision, [module.learning_rate for module in owners]

    def _gradient(self):
        """(theta, batch) -> gradient, as a function that TensorFlow does not put into the loop."""
        call = self._backbone.signatures["gradient"]

        @tf.function(autograph=False, experimental_attributes={"_noinline": True})
        def gradient(theta, batch):
            (inputs, targets), noise = batch
            aims = {argument_name(name): value for name, value in targets.items()}
            grads = call(**self._named(inputs), **aims, **self._arguments(theta), **noise)
            return [grads[argument_name(name)] for name in self._names]

        return gradient

    def _named(self, inputs: Any) -> dict[str, tf.Tensor]:
        """The inputs of a task by name, in the types that the signatures take."""
        specs = self._backbone.info.inputs
        given = inputs if isinstance(inputs, Mapping) else {specs[0].name: inputs}
        return {argument_name(x.name): tf.cast(given[x.name], x.dtype) for x in specs}

    def _arguments(self, theta: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        return {argument_name(n): value for n, value in zip(self._names, theta, strict=True)}

    def _tensors(self, theta: Sequence[tf.Tensor], task: Task) -> dict[str, np.ndarray]:
        """All tensors of the adapter: theta, and the moments of the adapted network."""
        arguments = self._arguments(theta)
        inputs = augmented_once(self._augment, task)[0]
        if "moments" in self._backbone.signatures:
            moments = self._backbone.signatures["moments"](**self._named(inputs), **arguments)
            arguments = arguments | moments
        names = [spec.name for spec in self._backbone.info.tensors]
        return {name: arguments[argument_name(name)].numpy() for name in names}

    def _measure(self, tensors: Mapping[str, np.ndarray], heldout: Examples) -> float:
        recipe = self._backbone.info.adaptation
        loss = named("adaptation.loss", LOSSES, recipe.loss)
        metric = METRICS[recipe.metric].example(loss)
        values, weights = [], []
        for part in self._parts(heldout):
            outputs = self._backbone.serve(part.inputs, tensors)
            targets = part.named_targets[TARGETS]
            own = outputs[self._backbone.info.outputs[0].name]
            values.append(metric(tf.constant(targets), widened(tf.constant(own))))
            weights.append(self._weights(part, tensors))
        whole = None if weights[0] is None else tf.concat(weights, 0)
        return float(reduced(tf.concat(values, 0), whole, reduction="mean"))

    def _parts(self, examples: Examples) -> Iterator[Examples]:
        """A few rows at a time, as an output may be 256 numbers a sample."""
        each = math.prod(size or 1 for size in self._backbone.info.outputs[0].shape)
        count = max(1, MOST_OUTPUTS // each)
        for first in range(0, examples.count, count):
            rows = slice(first, first + count)
            yield Examples(
                {name: x[rows] for name, x in examples.inputs.items()},
                {name: x[rows] for name, x in examples.named_targets.items()},
            )

    def _weights(self, part: Examples, tensors: Mapping[str, np.ndarray]) -> Any:
        """Of the examples, or None; a mask is a weight, as in training."""
        weights = part.named_targets.get(TARGET_WEIGHTS)
        if "mask" not in self._backbone.signatures:
            return weights
        mask = self._backbone.mask(part.inputs, tensors)
        return mask if weights is None else mask * weights

    def _better(self, value: float, other: float) -> bool:
        lower = self.metric is not None and self.metric.lower_is_better
        return value < other if lower else value > other
