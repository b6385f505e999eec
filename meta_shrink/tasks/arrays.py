"""Tasks from a user's own arrays: a mapping in memory, or a folder of NPZ files, one per task.

Tasks are divided into those to meta-train on, to validate and to test by the hash of their names;
the examples of a task into those to adapt to and to validate on by the hash of their numbers. Both
are the same in every run. Tasks differ in size: shorter ones are padded with examples of weight 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.errors import DataError, UsageError
from meta_shrink.images.classes import hash_order
from meta_shrink.rng import root_key, uniform
from meta_shrink.sections import choose
from meta_shrink.tasks.data_digest import of_examples, refuse_leaks
from meta_shrink.tasks.example_arrays import (
    TARGETS,
    Arrays,
    TaskExamples,
    fitted,
    read_folder,
    specs_of,
)
from meta_shrink.types import Batch, Task, TaskSource


class Shares(NamedTuple):
    """How tasks and examples are divided.

    test, validation: share of the tasks for either, at least one each; the rest is meta-trained on.
    heldout: share of a task's examples that it is validated on, where it does not say itself.
    salt: of the hashes; another text is another division.
    """

    test: float = 0.2
    validation: float = 0.1
    heldout: float = 0.5
    salt: str = "0"


def arrays(
    *,
    seed: int,
    data_dir: str,
    targets: str = "numbers",
    classes: int = 0,
    test: float = 0.2,
    validation: float = 0.1,
    heldout: float = 0.5,
    split: str = "0",
) -> TaskSource:
    """The tasks of a folder, one NPZ file each, as meta-shrink adapt reads them.

    Args:
      seed: of the mini-batches of held-out tasks.
      data_dir: the folder. A file has `targets` and the model's inputs by name (`inputs` will do
        for one), and may have the same with `heldout_` in front to validate on.
      targets: "numbers", or "labels" of classes.
      classes: number of classes, where the targets are labels.
      test, validation, heldout, split: of Shares.

    Raises:
      DataError: of read_folder and refuse_leaks; too few tasks, or one unlike the first one.
      UsageError: a share or a name out of range.
    """
    labels = choose("task.targets", {"numbers": False, "labels": True}, targets)
    if labels != bool(classes):
        raise UsageError(
            f"task got targets={targets!r}, classes={classes}; expected the number of classes with "
            "'labels' and 0 with 'numbers'."
        )
    tasks = read_folder(data_dir)
    specs = specs_of(next(iter(tasks.values())).train, labels=labels)
    shares = Shares(test, validation, heldout, split)
    source = array_source(tasks, specs, shares, seed=seed, classes=classes)
    refuse_leaks(tasks, divided_tasks(tasks, shares))
    return source._replace(data=of_examples(tasks))


def array_source(
    tasks: Mapping[str, TaskExamples],
    specs: Sequence[ArraySpec],
    shares: Shares,
    *,
    seed: int,
    classes: int = 0,
) -> TaskSource:
    """The source of these tasks.

    A batch is (inputs, targets), inputs being a dict where there are several, with weights [N]
    where tasks differ in size.

    Args:
      specs: of the inputs and targets (example_arrays.fitted).

    Raises:
      DataError, UsageError: as `arrays`.
    """
    _check_shares(shares)
    whole = {name: _whole(name, task, specs, shares, classes) for name, task in tasks.items()}
    _refuse_other_shapes(whole)
    names = divided_tasks(whole, shares)
    parts = {part: [whole[n] for n in own] for part, own in names.items()}
    padded = len({len(t.train[TARGETS]) for t in whole.values()}) > 1
    padded |= len({len(t.heldout[TARGETS]) for t in whole.values()}) > 1
    draw = {part: drawing(tasks, padded) for part, tasks in parts.items()}
    count = len(parts["train"])

    def every() -> Iterator[tuple[str, Any]]:
        for part, own in names.items():
            for number, name in enumerate(own):
                task = draw[part](tf.constant(number), root_key(seed, "probe"))
                yield from ((name, batch[0]) for batch in (task.train, task.val))

    return TaskSource(
        sample=lambda key: draw["train"](uniform(key, "array_task", [], 0, count, tf.int32), key),
        heldout=lambda index: draw["test"](index, root_key(seed, "heldout_tasks", index)),
        validation=lambda index: draw["validation"](
            index, root_key(seed, "validation_tasks", index)
        ),
        num_heldout=len(parts["test"]),
        num_validation=len(parts["validation"]),
        classes=classes,
        every=every,
    )


def divided_tasks(names: Mapping[str, Any], shares: Shares) -> dict[str, list[str]]:
    """{"test", "validation", "train": names}, by the hash of the names.

    Raises:
      DataError: fewer than three tasks, or none left to train on.
    """
    order = hash_order(names, shares.salt)
    test, validation = (
        max(1, round(share * len(order))) for share in (shares.test, shares.validation)
    )
    if len(order) < 3 or test + validation >= len(order):
        raise DataError(
            f"There are {len(order)} tasks, of which {test} to test and {validation} to validate; "
            "meta-learning needs at least one task for each and one to train on: give more tasks, "
            "or smaller shares."
        )
    return {
        "test": order[:test],
        "validation": order[test : test + validation],
        "train": order[test + validation :],
    }


def _check_shares(shares: Shares) -> None:
    if not isinstance(shares, Shares):
        raise UsageError(f"Shares are {shares!r}; expected Shares(test=0.2), for instance.")
    if not all(isinstance(share, Real) and 0 < share < 1 for share in shares[:3]):
        raise UsageError(
            f"Shares are test={shares.test}, validation={shares.validation}, "
            f"heldout={shares.heldout}; expected numbers between 0 and 1."
        )


def _whole(name: str, task: TaskExamples, specs, shares: Shares, classes: int) -> TaskExamples:
    """Checked, and with examples to validate on."""
    where = f"Task {name!r}"
    train = fitted(task.train, specs, where, classes=classes)
    if task.heldout:
        given = fitted(task.heldout, specs, f"{where}, held out", classes=classes)
        return TaskExamples(train, given)
    count = len(train[TARGETS])
    if count < 2:
        raise DataError(
            f"{where} has one example; at least 2 are needed, one to adapt to and one to validate "
            "on: leave the task out, or give it heldout_ arrays."
        )
    order = _rows_by_hash(name, count, shares.salt)
    heldout = min(max(1, round(shares.heldout * count)), count - 1)
    kept, apart = np.sort(order[heldout:]), np.sort(order[:heldout])
    return TaskExamples(
        {key: value[kept] for key, value in train.items()},
        {key: value[apart] for key, value in train.items()},
    )


def _rows_by_hash(name: str, count: int, salt: str) -> np.ndarray:
    start = hashlib.sha256(f"{salt}/{name}/".encode("utf-8", "surrogatepass"))

    def digest(row: int) -> bytes:
        whole = start.copy()
        whole.update(str(row).encode())
        return whole.digest()

    return np.array(sorted(range(count), key=digest))


def _refuse_other_shapes(tasks: Mapping[str, TaskExamples]) -> None:
    """Axes of any length have one length in all tasks."""
    first_name, first = next(iter(tasks.items()))
    for name, task in tasks.items():
        for part in task:
            for key, array in part.items():
                expected = first.train[key].shape[1:]
                if array.shape[1:] != expected:
                    raise DataError(
                        f"Task {name!r}: {key} has examples of shape {list(array.shape[1:])}, "
                        f"those of task {first_name!r} have {list(expected)}; pad them to one "
                        "length."
                    )


def drawing(tasks: Sequence[TaskExamples], padded: bool) -> Callable[..., Task]:
    """(number, key) -> the Task; numbers wrap around."""
    train = _batches([task.train for task in tasks], padded)
    heldout = _batches([task.heldout for task in tasks], padded)

    def draw(number: tf.Tensor, key: tf.Tensor) -> Task:
        own = number % len(tasks)
        return Task(train(own), heldout(own), key)

    return draw


def _batches(tasks: Sequence[Arrays], padded: bool) -> Callable[[tf.Tensor], Batch]:
    """number [] -> batch of that task. Tasks lie one after another in memory, without padding."""
    counts = np.array([len(task[TARGETS]) for task in tasks], np.int32)
    count, first = tf.constant(counts), tf.constant(np.cumsum(counts, dtype=np.int32) - counts)
    largest = int(counts.max())
    values = {name: tf.constant(np.concatenate([t[name] for t in tasks])) for name in tasks[0]}

    def batch(number: tf.Tensor) -> Batch:
        slots = tf.range(largest)
        # Gathered, not sliced: XLA compiles a slice anew for each number.
        begin, length = tf.gather(first, number), tf.gather(count, number)
        # Padding repeats a task's last example, so that no other task's data and no odd number
        # goes through the network.
        rows = begin + tf.minimum(slots, length - 1)
        own = {name: tf.gather(value, rows) for name, value in values.items()}
        targets = own.pop(TARGETS)
        inputs = own if len(own) > 1 else next(iter(own.values()))
        if not padded:
            return inputs, targets
        return inputs, targets, tf.cast(slots < length, tf.float32)

    return batch
