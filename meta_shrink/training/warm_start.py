"""Warm start: phi from ordinary classification of all meta-training classes at once.

The paper starts its speech experiment from a model pretrained on all speakers, and says that others
do the same for images (App. E.2). One step of classification costs as much as one adaptation step
of one task, so a minute of it replaces hours of learning the shared layers by meta-steps.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from meta_shrink.durable_files import to_json
from meta_shrink.errors import DivergedError, Preempted, UsageError
from meta_shrink.models.kernels.native_kernels import native_kernels
from meta_shrink.models.noise import reseed
from meta_shrink.network_loss import WARM_START, key_of_noise
from meta_shrink.rng import STREAMS, fold_in, root_key
from meta_shrink.training.kept_arrays import read_arrays, require_writable, write_arrays
from meta_shrink.types import Augment, Batch, Labelled, Params, TaskSource

LINES = 5  # of progress


def warm_start(
    model: keras.Model,
    source: TaskSource,
    *,
    seed: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    augment: Augment | None = None,
    native: bool = False,
    log: Callable[[str], Any] = print,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Params:
    """Values of the model's trainable variables after classifying the source's labelled examples.

    All layers but the last are trained, under a last layer for all classes that is thrown away;
    the model's own last layer becomes zero, from which the first step of gradient descent is the
    classifier by class means. A pure function of the arguments: nothing of it needs to be saved
    but its result.

    Args:
      model: a new functional model whose last layer maps features to outputs; it is trained.
      source: with `labelled`.
      seed, steps, batch_size: of the examples drawn.
      learning_rate: of Adam at the first step, decaying linearly to 0.
      augment: (key, inputs) -> inputs, for every batch; the source's own by default.
      native: the model runs on the CPU without XLA (native_kernels).

    Raises:
      UsageError: the source has no labelled examples, or a number is out of range.
      Preempted: stopped on request; nothing is kept.
      DivergedError: the loss is not finite.
    """
    check_numbers(seed=seed, steps=steps, batch_size=batch_size, learning_rate=learning_rate)
    labelled = source.labelled
    if labelled is None:
        raise UsageError("warm_start needs a task with labelled classes; this one has none.")
    batch = examples(labelled, augment or source.augment, seed, batch_size)
    _classify(
        _classifier(model, labelled.num_classes, seed),
        tf.data.Dataset.range(steps).map(batch).prefetch(2),
        keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, 0.0),
        [_Noise(seed), _Watch(steps, log, stop_requested)],
        native,
    )
    last = {id(variable) for variable in model.layers[-1].trainable_variables}
    return [
        tf.zeros(variable.shape) if id(variable) in last else tf.constant(variable.numpy())
        for variable in model.trainable_variables
    ]


def check_numbers(*, seed: int, steps: int, batch_size: int, learning_rate: float) -> None:
    """Refuse numbers that no warm start can have; they are those of `warm_start`.

    Raises:
      UsageError: one is out of range.
    """
    if min(steps, batch_size) < 1 or not 0 < learning_rate < math.inf:
        raise UsageError(
            f"warm_start got steps={steps}, batch_size={batch_size}, learning_rate="
            f"{learning_rate}; expected positive finite numbers (steps 0: no warm start)."
        )


def cached(
    directory: str,
    facts: Mapping[str, Any],
    shapes: Sequence[tuple[int, ...]],
    compute: Callable[[], Params],
) -> Params:
    """The result of `compute` for these facts, from an earlier run where there is one.

    Runs that differ in their algorithm alone share their warm start: one file in `directory`,
    named by the facts (everything that decides the result). A damaged file is made anew.

    Args:
      shapes: of the result.

    Raises:
      UsageError, DiskError: the directory cannot be written, before anything is computed.
    """
    content = json.dumps(
        to_json({**facts, "streams": STREAMS, "tensorflow": tf.__version__}), sort_keys=True
    )
    name = f"warm_start_{hashlib.sha256(content.encode()).hexdigest()[:16]}.npz"
    path = os.path.join(directory, name)
    kept = read_arrays(path) or {}
    if [value.shape for value in kept.values()] == [*shapes]:
        return [tf.constant(value) for value in kept.values()]
    require_writable(directory)
    phi = compute()
    write_arrays(path, {f"arr_{number}": value.numpy() for number, value in enumerate(phi)})
    return phi


def _classifier(model: keras.Model, num_classes: int, seed: int) -> keras.Model:
    weights: Any = keras.initializers.GlorotUniform(seed=seed)
    features = model.layers[-1].input
    logits = keras.layers.Dense(num_classes, kernel_initializer=weights, name="classes")(features)
    return keras.Model(model.inputs, logits, name="warm_start")


def examples(
    labelled: Labelled, augment: Augment | None, seed: int, batch_size: int
) -> Callable[[tf.Tensor], Batch]:
    """Number of the step -> its batch, keyed by (seed, step) alone."""

    def batch(step: tf.Tensor) -> Batch:
        key = root_key(seed, "warm_start", step)
        images, labels = labelled.draw(key, batch_size)
        if augment is not None:
            images = augment(fold_in(key, "augment_warm_start"), images)
        return images, labels

    return batch


def _classify(classifier: keras.Model, examples, rate: Any, callbacks: list[Any], native: bool):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    options: dict[str, Any] = {"metrics": ["accuracy"], "jit_compile": False}
    classifier.compile(optimizer=keras.optimizers.Adam(rate), loss=loss, **options)
    with native_kernels(native):
        quiet: Any = 0
        classifier.fit(examples, epochs=1, shuffle=False, verbose=quiet, callbacks=callbacks)


class _Noise(keras.callbacks.Callback):
    """Layers that draw at random (Dropout) draw by the seed and the step alone."""

    def __init__(self, seed: int):
        super().__init__()
        self._seed = seed

    def on_train_batch_begin(self, batch, logs=None):
        key = root_key(self._seed, "warm_start", batch)
        model: Any = self.model
        reseed(model, key_of_noise(key, WARM_START))


class _Watch(keras.callbacks.Callback):
    """Tells of progress, listens for a stop, refuses a loss that is not finite."""

    def __init__(self, steps: int, log: Callable[[str], Any], stop_requested: Callable[[], bool]):
        super().__init__()
        self._steps, self._log, self._stop_requested = steps, log, stop_requested

    def on_train_batch_end(self, batch, logs=None):
        logs, done = logs or {}, batch + 1
        if self._stop_requested():
            raise Preempted("Stopped during the warm start; the same command starts it again.")
        if done % max(self._steps // LINES, 1) == 0:
            loss = float(logs["loss"])
            self._log(
                f"warm start: {done}/{self._steps}, mean so far: loss {loss:.3f}, accuracy "
                f"{logs['accuracy']:.3f}"
            )
            if loss != loss:
                raise DivergedError(
                    "The loss of the warm start is not finite; lower warm_start.learning_rate."
                )
