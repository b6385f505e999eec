"""No two random choices of a run share a stream: of data, mini-batches, augmentation, evaluation.

Mini-batches were once drawn with the key that had drawn the data: of 16 N(0, 1) observations those
of step 1 had mean 1.22.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import rng
from meta_shrink.adaptation import augmented_once, random_batch
from meta_shrink.rng import root_key
from meta_shrink.tasks import alphabets, few_shot, gaussian, sinusoid
from meta_shrink.tasks.augment import random_affine
from meta_shrink.tasks.transforms import augment_validation, validate_on_batch
from meta_shrink.training.meta_step import task_keys
from meta_shrink.training.warm_start import examples
from tests.numbered_images import numbered_omniglot

TASKS, STEPS = 300, range(4)
AFFINE = {"scale": [0.8, 1.2], "shift": 0.2, "rotation": 180}


def normal_observations():
    return gaussian(
        seed=0, mean="linear", phi=[0.0], sigma=[0.0], noise=[1.0, 1.0], num_train=16, num_val=16
    )


def phases():
    return sinusoid(seed=0, num_train=16, num_val=16)


@pytest.mark.parametrize(
    ("make", "spread"), [(normal_observations, 1.0), (phases, 10 / np.sqrt(12))]
)
@pytest.mark.parametrize("heldout", [False, True], ids=["training", "held-out"])
def test_mini_batches_have_the_mean_of_the_data(make, spread, heldout):
    """4 of 16 numbers of mean 0: the mean over 300 tasks is within 5 of its standard errors."""
    source, draw = validate_on_batch(make(), 4), random_batch(size=4)

    @tf.function(autograph=False)
    def of_task(index):
        task = source.heldout(index) if heldout else source.sample(root_key(1, "probe", index))
        batches = [draw(task, step)[0] for step in STEPS] + [task.val[0]]
        return [tf.reduce_mean(batch[:, 0]) for batch in batches]

    means = np.array([of_task(tf.constant(index)) for index in range(TASKS)]).mean(0)
    assert np.abs(means).max() < 5 * spread / np.sqrt(4 * TASKS)


def few_shot_source():
    classes = numbered_omniglot("", 8, "lanczos", True)
    pools = {"train": classes, "val": classes, "test": classes}
    drawn = few_shot.episodes(pools, seed=0, ways=3, shots=4, queries=4, rotations=True)
    return drawn._replace(augment=random_affine(**AFFINE), augment_validation=True)


def alphabet_source(monkeypatch):
    monkeypatch.setattr(alphabets, "read_omniglot", numbered_omniglot)
    return alphabets.omniglot_alphabets(seed=0, data_dir="", augment=AFFINE)


@pytest.fixture
def streams(monkeypatch) -> list[tuple[int, int]]:
    """The keys of all draws of random bits while the test runs."""
    used = []
    bits = tf.random.stateless_uniform

    def recorded(shape, key, *arguments, **options):
        used.append(tuple(np.asarray(key).tolist()))
        return bits(shape, key, *arguments, **options)

    monkeypatch.setattr(rng.tf.random, "stateless_uniform", recorded)
    return used


@pytest.mark.parametrize("kind", ["gaussian", "sinusoid", "few_shot", "alphabets"])
def test_no_stream_is_drawn_from_twice(kind, streams, monkeypatch):
    makers = {
        "gaussian": normal_observations,
        "sinusoid": phases,
        "few_shot": few_shot_source,
        "alphabets": lambda: alphabet_source(monkeypatch),
    }
    source = makers[kind]()
    meta_training = validate_on_batch(augment_validation(source), 4)
    evaluation = augment_validation(source)
    draw = random_batch(size=4, augment=source.augment)
    keys = [
        key
        for step in (0, 1)
        for key in task_keys(root_key(0, "train_tasks"), tf.constant(step), 0, 2)
    ]
    tasks = [meta_training.sample(key) for key in keys]
    tasks += [evaluation.heldout(tf.constant(index)) for index in (0, 1)]
    if evaluation.validation is not None:
        tasks += [evaluation.validation(tf.constant(index)) for index in (0, 1)]
    for task in tasks:
        for step in (0, 1, 2):
            draw(task, tf.constant(step))
        augmented_once(source.augment, task)
    if source.labelled is not None:
        batch = examples(source.labelled, source.augment, 0, 3)
        for step in (0, 1):
            batch(tf.constant(step))
    assert len(streams) >= 2 * len(tasks)
    assert len(set(streams)) == len(streams)
