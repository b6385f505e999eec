"""N-way K-shot episodes from pools of image classes, drawn on the device (App. E.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.images.classes import ImageClasses, require_images, subset
from meta_shrink.images.image_folder import load_image_folder
from meta_shrink.images.omniglot import character_split, load_omniglot
from meta_shrink.rng import root_key, uniform
from meta_shrink.tasks.data_digest import of_classes
from meta_shrink.types import Labelled, Pictures, Task, TaskSource


def omniglot_few_shot(
    *,
    seed: int,
    data_dir: str,
    ways: int,
    shots: int,
    queries: int,
    heldout_queries: int = 0,
    image_size: int = 28,
    interpolation: str = "lanczos",
    invert: bool = True,
    rotations: bool = True,
    split: str = "0",
) -> TaskSource:
    """Characters of all alphabets: 1,100 to train on, 100 to validate, 423 to test.

    Args:
      seed: of the held-out episodes.
      data_dir: folder of the tensorflow-datasets data set (meta-shrink prepare-data omniglot).
      ways, shots, queries: classes, training images and validation images a class of an episode.
      heldout_queries: validation images a class of a held-out episode; `queries` if 0.
      image_size: side of the images; 105 as published.
      interpolation: of the resizing, as load_omniglot.
      invert: ink 255 on a background of 0; as published, ink is 0 on 255.
      rotations: turn each class of an episode by 0, 90, 180 or 270 degrees, in every split. The
        split is of characters, so a rotated test character is no training class.
      split: salt of the order by hash that assigns characters to splits.

    Raises:
      UsageError: a count below 1.
      DataError: no data set, or a class or split with too little for an episode.
    """
    classes = read_omniglot(data_dir, image_size, interpolation, invert)
    pools = {
        name: subset(classes, names) for name, names in character_split(classes, salt=split).items()
    }
    source = episodes(
        pools,
        seed=seed,
        ways=ways,
        shots=shots,
        queries=queries,
        heldout_queries=heldout_queries,
        rotations=rotations,
    )
    return source._replace(pictures=Pictures(image_size, 1, invert, interpolation))


def read_omniglot(data_dir: str, image_size: int, interpolation: str, invert: bool) -> ImageClasses:
    """All characters, ink white on black if `invert`."""
    classes = load_omniglot(data_dir, image_size=image_size, interpolation=interpolation)
    return classes._replace(images=255 - classes.images) if invert else classes


def image_folder_few_shot(
    *,
    seed: int,
    data_dir: str,
    ways: int,
    shots: int,
    queries: int,
    heldout_queries: int = 0,
    image_size: int = 84,
    interpolation: str = "lanczos",
    exif: bool = True,
) -> TaskSource:
    """Photographs in any form that load_image_folder knows (miniImageNet, grocery84).

    Args, raises: as omniglot_few_shot; exif: turn pictures as it says.
    """
    how = {"interpolation": interpolation, "exif": exif}
    source = episodes(
        load_image_folder(data_dir, image_size=image_size, **how),
        seed=seed,
        ways=ways,
        shots=shots,
        queries=queries,
        heldout_queries=heldout_queries,
        rotations=False,
    )
    return source._replace(pictures=Pictures(image_size, 3, **how))


def episodes(
    pools: Mapping[str, ImageClasses],
    *,
    seed: int,
    ways: int,
    shots: int,
    queries: int,
    heldout_queries: int = 0,
    rotations: bool = False,
) -> TaskSource:
    """Episodes of the pools "train", "val" and "test"; a batch is (uint8 [N,S,S,C], labels [N]).

    An episode has `ways` different classes of its pool, and of each class `shots` training and
    `queries` other validation images; classes are labelled 0 ... ways - 1 in the order drawn.

    Args, raises: as omniglot_few_shot.
    """
    heldout_queries = heldout_queries or queries
    if min(ways, shots, queries, heldout_queries) < 1 or ways < 2:
        raise UsageError(
            f"task got ways={ways}, shots={shots}, queries={queries}, heldout_queries="
            f"{heldout_queries}; expected at least 2 ways and 1 of the others."
        )
    draw = {}
    for name, pool in pools.items():
        count = queries if name == "train" else heldout_queries
        require_images(pool, shots + count, what=f"{name} split", classes=ways)
        draw[name] = _episode(pool, ways, shots, count, rotations)
    return TaskSource(
        sample=draw["train"],
        heldout=lambda index: draw["test"](root_key(seed, "heldout_tasks", index)),
        validation=lambda index: draw["val"](root_key(seed, "validation_tasks", index)),
        labelled=_labelled(pools["train"], rotations),
        classes=ways,
        data=of_classes(pools),
    )


def _labelled(pool: ImageClasses, rotations: bool) -> Labelled:
    """All training classes, each rotation of a class as a class of its own."""
    images, labels = tf.constant(pool.images), np.repeat(np.arange(len(pool.names)), pool.count)
    classes, turns = tf.constant(labels, tf.int32), 4 if rotations else 1

    def draw(key: tf.Tensor, size: int):
        rows = uniform(key, "labelled_images", [size], 0, len(labels), tf.int32)
        quarters = uniform(key, "labelled_turns", [size], 0, turns, tf.int32)
        turned = _turn(tf.gather(images, rows)[:, tf.newaxis], quarters)[:, 0]
        return turned, tf.gather(classes, rows) * turns + quarters

    return Labelled(len(pool.names) * turns, draw)


def _episode(
    pool: ImageClasses, ways: int, shots: int, queries: int, rotations: bool
) -> Callable[[tf.Tensor], Task]:
    # On the device once; the functions that use it hold a reference, not a copy.
    images = tf.constant(pool.images)
    first, count = tf.constant(pool.first, tf.int32), tf.constant(pool.count, tf.int32)
    most = int(pool.count.max())

    def episode(key: tf.Tensor) -> Task:
        order = uniform(key, "episode_classes", [len(pool.names)])
        classes = tf.math.top_k(order, k=ways).indices
        lot = uniform(key, "episode_images", [ways, most])
        exists = tf.range(most) < tf.gather(count, classes)[:, tf.newaxis]
        picked = tf.math.top_k(tf.where(exists, lot, -1.0), k=shots + queries).indices
        chosen = tf.gather(images, tf.gather(first, classes)[:, tf.newaxis] + picked)
        if rotations:
            chosen = _turn(chosen, uniform(key, "episode_turns", [ways], 0, 4, tf.int32))
        return Task(labelled_batch(chosen[:, :shots]), labelled_batch(chosen[:, shots:]), key)

    return episode


def _turn(images: tf.Tensor, quarters: tf.Tensor) -> tf.Tensor:
    """[ways, N, S, S, C] turned by quarters [ways] of a full turn, class by class."""
    ways, each, size, _, channels = images.shape
    pixels = np.arange(size * size).reshape(size, size)
    turns = tf.constant(np.stack([np.rot90(pixels, k).ravel() for k in range(4)]), tf.int32)
    source = tf.repeat(tf.gather(turns, quarters), each, axis=0)
    flat = tf.reshape(images, [ways * each, size * size, channels])
    return tf.reshape(tf.gather(flat, source, batch_dims=1), images.shape)


def labelled_batch(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """[ways, N, S, S, C] -> images [ways * N, S, S, C] and their labels, class after class."""
    ways, each, *shape = images.shape
    return tf.reshape(images, [ways * each, *shape]), tf.repeat(tf.range(ways), each)
