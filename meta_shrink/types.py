"""The shared vocabulary: parameters, meta-parameters, tasks and the function signatures.

Shapes are in brackets. M is the number of modules, V the number of trainable variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

# One tensor per trainable variable, in `model.trainable_variables` order.
Params = list[tf.Tensor]
# Tensors whose leading axis is the example: (inputs, targets), or (inputs, targets, weights) where
# examples count differently, as Keras's sample_weight. weights: [N], or one for each number of the
# loss ([N, T] for sequences); an example of weight 0 is padding and is as if it were not there.
Batch = Any
# Named scalars.
Metrics = Mapping[str, tf.Tensor]


class MetaParams(NamedTuple):
    """What meta-training learns (Phi in the paper).

    phi: prior mean and initialisation, V tensors.
    log_sigma2: [M] log of the prior variance of each module. +inf is "no prior", -inf "frozen".
    log_alpha: log of the task learning rate, [M] per module or V tensors per parameter.
    """

    phi: Params
    log_sigma2: tf.Tensor
    log_alpha: Any


class Task(NamedTuple):
    """One task, on the device: its training batch, its validation batch, its stateless key [2].

    Tasks of unequal size are padded to one size, with weight 0 (see Batch).
    """

    train: Batch
    val: Batch
    key: tf.Tensor


def batch_parts(batch: Batch) -> tuple[Any, Any, tf.Tensor | None]:
    """(inputs, targets, weights or None) of a batch with or without weights."""
    inputs, targets, *_ = batch
    return inputs, targets, weights_of(batch)


def weights_of(batch: Batch) -> tf.Tensor | None:
    """The weights of a batch that has them; a batch of any other structure has none."""
    return batch[2] if isinstance(batch, (tuple, list)) and len(batch) == 3 else None


class Labelled(NamedTuple):
    """All examples of the meta-training tasks under one labelling.

    num_classes: of all tasks together. draw: (key [2], size) -> batch (inputs, labels [size]).
    """

    num_classes: int
    draw: Callable[[tf.Tensor, int], Batch]


class Mixed(NamedTuple):
    """Mini-batches of all meta-training tasks together, for a network that is trained as it is.

    draw: (key [2], size) -> batch. validation: size -> a fixed batch of what draw never sees.
    """

    draw: Callable[[tf.Tensor, int], Batch]
    validation: Callable[[int], Batch]


class Pictures(NamedTuple):
    """How pictures become the inputs of a task: exports tell it, so that new tasks' are read alike.

    size: side; inputs are [size, size, channels]. invert: 255 - what the file has. interpolation:
    of the resizing (images.pictures.INTERPOLATIONS). exif: turned as EXIF says. augment: options of
    tasks.augment.random_affine, if that is what augments; {} for none.
    """

    size: int
    channels: int
    invert: bool = False
    interpolation: str = "lanczos"
    exif: bool = True
    augment: Mapping[str, Any] = {}


class Recordings(NamedTuple):
    """How recordings of a voice become the inputs of a task: exports tell it, as of pictures.

    sample_rate: of the codes. frames: of a piece that are scored (5 ms each). context: frames ahead
    of them. features_version: of speech.features. speaker: the number that a network of many voices
    has for a new one; None where it is told no numbers. pre_emphasis: of the codes (signal.encode).
    """

    sample_rate: int
    frames: int
    context: int
    features_version: int
    speaker: int | None = None
    pre_emphasis: float = 0.0


class Prosody(NamedTuple):
    """What a network of prosody was trained on: exports tell it, as of recordings.

    version: of speech.prosody. features_version, frames_per_second, phones: of speech.features.
    lowest_f0, highest_f0: Hz. longest: frames of a phone; what is said keeps to these.
    """

    version: int
    features_version: int
    frames_per_second: int
    phones: Sequence[str]
    lowest_f0: float
    highest_f0: float
    longest: int


class TaskSource(NamedTuple):
    """Where tasks come from; both functions are pure, stateless and compilable.

    sample: key [2] -> a meta-training task.
    heldout: index [] -> the index-th task that meta-training never sees.
    truth: index [] -> the true parameters [V] of that task, where they are known.
    validation: index [] -> a task to choose hyper-parameters by, neither of the former; without
        it, held-out tasks of high index serve where there is no end of them.
    augment: (key [2], inputs [N, ...]) -> inputs, drawn anew for every mini-batch.
    augment_validation: whether the validation inputs of a task are augmented too, once.
    labelled: the training data of the meta-training tasks as one classification (warm start).
    mixed: the same without labels, where the network itself is trained on it (warm start).
    draw: (key, training data of a task, size) -> mini-batch, where that is more than choosing
        `size` of the examples: pieces of recordings.
    pieces: the training data of such a task -> all of it as one batch, not compiled: for files.
    pictures, recordings, prosody: how pictures, recordings or the phones of a text become inputs,
        where that is what they are.
    num_heldout, num_validation: how many there are of them; 0: as many as one asks for.
    classes: that the targets are labels of, 0 ... classes - 1; 0: no labels, or it is not known.
    data: a hash of the data that the tasks are drawn from; "" where they are made up.
    every: () -> (name, inputs [N, ...]) of all tasks, where they are arrays that one can look at.
    check_model: the config's section `model` -> nothing; raises UsageError where that network would
        be trained wrongly on these tasks and does not say so itself.
    """

    sample: Callable[[tf.Tensor], Task]
    heldout: Callable[[tf.Tensor], Task]
    truth: Callable[[tf.Tensor], tf.Tensor] | None = None
    validation: Callable[[tf.Tensor], Task] | None = None
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None
    augment_validation: bool = False
    labelled: Labelled | None = None
    mixed: Mixed | None = None
    draw: Callable[[tf.Tensor, Batch, int], Batch] | None = None
    pieces: Callable[[Any], Batch] | None = None
    pictures: Pictures | None = None
    recordings: Recordings | None = None
    prosody: Prosody | None = None
    num_heldout: int = 0
    num_validation: int = 0
    classes: int = 0
    data: str = ""
    every: Callable[[], Iterator[tuple[str, Any]]] | None = None
    check_model: Callable[[Mapping[str, Any]], None] | None = None


class TaskOptimizer(NamedTuple):
    """An optimizer of the task parameters with a proximal step towards phi.

    init: theta -> state.
    update: (grad, state, theta, phi, precision, alpha) -> (theta, state); precision (1/sigma^2)
        and alpha hold one value per variable, broadcastable to it.
    """

    init: Callable[[Params], Any]
    update: Callable[..., tuple[Params, Any]]


# (key [2], inputs [N, ...]) -> inputs [N, ...], drawn at random.
Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
NegLogLik = Callable[[Params, Batch], tf.Tensor]
# (adapted parameters, task) -> scalar on the task's validation data.
TaskMetric = Callable[[Params, Task], tf.Tensor]
Adapt = Callable[[MetaParams, Task], Params]
# (Phi, task, how it is adapted) -> (Delta, metrics).
MetaGradient = Callable[[MetaParams, Task, Adapt], tuple[MetaParams, Metrics]]
