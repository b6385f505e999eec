"""Many-shot Omniglot: an alphabet is a task of 20 characters, images augmented (App. E.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.images.classes import ImageClasses, hash_order, require_images, subset
from meta_shrink.images.omniglot import alphabet_split
from meta_shrink.rng import root_key, uniform
from meta_shrink.tasks.augment import random_affine
from meta_shrink.tasks.data_digest import of_classes
from meta_shrink.tasks.few_shot import labelled_batch, read_omniglot
from meta_shrink.types import Labelled, Pictures, Task, TaskSource

CHARACTERS, INSTANCES, FOR_TRAINING = 20, 20, 15
INK, PAPER = 0.0, 255.0


def omniglot_alphabets(
    *,
    seed: int,
    data_dir: str,
    num_alphabets: int = 30,
    num_instances: int = FOR_TRAINING,
    augment: Mapping[str, Any],
    augment_validation: bool = True,
    image_size: int = 28,
    interpolation: str = "lanczos",
    invert: bool = True,
    split: str = "0",
) -> TaskSource:
    """One fixed 20-way task per alphabet; a batch is (uint8 [N,S,S,1], labels [N]).

    The 46 alphabets with at least 20 characters, 20 characters of each, and the 15 training and 5
    validation images of each character are chosen by hash: the same in every run, whatever
    num_alphabets. Ten alphabets are for testing; held-out task i is test alphabet i.

    Args:
      seed: of held-out augmentations. data_dir, image_size, interpolation, invert: as
        omniglot_few_shot.
      num_alphabets: to meta-train on; the rest (36 - num_alphabets) is for validation.
      num_instances: training images of each character in every split, 1 to 15.
      augment: of random_affine, anew for every mini-batch; `fill` may be "background" or "ink".
      augment_validation: whether validation images are too, once a task. split: of the hashes.

    Raises:
      UsageError: num_alphabets or num_instances out of range, or what random_affine refuses.
      DataError: no data set.
    """
    _check(num_alphabets, num_instances)
    options = {**augment, "fill": _fill(augment.get("fill", "background"), invert)}
    classes = read_omniglot(data_dir, image_size, interpolation, invert)
    split_of = alphabet_split(classes, num_train=num_alphabets, salt=split)
    arrays = {name: _tasks(classes, alphabets, split) for name, alphabets in split_of.items()}
    draw = {name: _task(tasks, num_instances) for name, tasks in arrays.items()}
    return TaskSource(
        sample=lambda key: draw["train"](_any(key, num_alphabets), key),
        heldout=lambda index: draw["test"](index, root_key(seed, "heldout_tasks", index)),
        validation=lambda index: draw["val"](index, root_key(seed, "validation_tasks", index)),
        augment=random_affine(**options),
        augment_validation=augment_validation,
        labelled=_labelled(arrays["train"][:, :, :num_instances]),
        pictures=Pictures(image_size, 1, invert, interpolation, augment=options),
        num_heldout=len(split_of["test"]),
        num_validation=len(split_of["val"]),
        classes=CHARACTERS,
        data=of_classes({"all": classes}),
    )


def _any(key: tf.Tensor, count: int) -> tf.Tensor:
    return uniform(key, "alphabet", [], 0, count, tf.int32)


def _check(num_alphabets: int, num_instances: int) -> None:
    if not 1 <= num_instances <= FOR_TRAINING or not 1 <= num_alphabets <= 35:
        raise UsageError(
            f"task got num_alphabets={num_alphabets}, num_instances={num_instances}; expected 1 to "
            f"35 alphabets (one is left to validate on) and 1 to {FOR_TRAINING} instances."
        )


def _fill(fill: float | str, invert: bool) -> float:
    names = {"background": INK if invert else PAPER, "ink": PAPER if invert else INK}
    if isinstance(fill, str) and fill not in names:
        raise UsageError(f"task.augment.fill is {fill!r}; expected background, ink or a number.")
    return names[fill] if isinstance(fill, str) else float(fill)


def _tasks(classes: ImageClasses, alphabets: Sequence[str], salt: str) -> np.ndarray:
    """uint8 [alphabets, 20 characters, 20 instances, S, S, 1], in the order of hashes."""
    tasks = []
    for alphabet in alphabets:
        names = [n for n, g in zip(classes.names, classes.groups, strict=True) if g == alphabet]
        chosen = subset(classes, hash_order(names, salt)[:CHARACTERS])
        require_images(chosen, INSTANCES, what=f"alphabet {alphabet}", classes=CHARACTERS)
        rows = chosen.first[:, np.newaxis] + np.arange(INSTANCES)
        tasks.append(chosen.images[rows])
    return np.stack(tasks)


def _task(tasks: np.ndarray, num_instances: int):
    """(number, key) -> the Task of an alphabet; numbers wrap around."""
    images, count = tf.constant(tasks), len(tasks)

    def task(number: tf.Tensor, key: tf.Tensor) -> Task:
        own = tf.gather(images, number % count)  # XLA compiles a slice anew for each number.
        train, val = own[:, :num_instances], own[:, FOR_TRAINING:]
        return Task(labelled_batch(train), labelled_batch(val), key)

    return task


def _labelled(tasks: np.ndarray) -> Labelled:
    """All characters of the alphabets as classes, from [A, characters, instances, S, S, 1]."""
    alphabets, characters, instances, *shape = tasks.shape
    images, count = tf.constant(tasks.reshape(-1, *shape)), alphabets * characters * instances

    def draw(key: tf.Tensor, size: int):
        rows = uniform(key, "labelled_characters", [size], 0, count, tf.int32)
        return tf.gather(images, rows), rows // instances

    return Labelled(alphabets * characters, draw)
