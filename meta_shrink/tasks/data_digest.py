"""A hash of the data that tasks are drawn from (TaskSource.data).

A run goes on, is evaluated and is exported with the data that it was trained on: other tasks might
be held out now, and some of them trained on. A warm start is shared by runs on the same data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from meta_shrink.errors import DataError
from meta_shrink.images.classes import ImageClasses
from meta_shrink.speech.corpus import Speaker
from meta_shrink.tasks.example_arrays import TaskExamples


def digest(named: Iterable[tuple[Sequence[Any], np.ndarray]]) -> str:
    """SHA-256 of arrays in order, each with the words that it is called by."""
    found = hashlib.sha256()
    for words, array in named:
        found.update(ascii([*words, array.shape, array.dtype.str]).encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def of_classes(pools: Mapping[str, ImageClasses]) -> str:
    """Of pictures, whose they are, and in which part."""

    def arrays() -> Iterator[tuple[Sequence[Any], np.ndarray]]:
        for part, pool in sorted(pools.items()):
            yield [(part, pool.names, pool.groups)], pool.count
            yield [part], pool.images

    return digest(arrays())


def of_speakers(speakers: Sequence[Speaker]) -> str:
    """Of sound and phones; of the pitch nothing, which processors round otherwise."""

    def arrays() -> Iterator[tuple[Sequence[Any], np.ndarray]]:
        for speaker in speakers:
            for utterance in speaker.utterances:
                whose = [(speaker.name, speaker.split, speaker.sample_rate, utterance.name)]
                yield whose, utterance.codes
                yield whose, utterance.features.phones

    return digest(arrays())


def refuse_leaks(tasks: Mapping[str, TaskExamples], parts: Mapping[str, Sequence[str]]) -> None:
    """A task to train on that is in another part under another name, as copies of files are.

    Args:
      parts: names of the tasks to "train" on, and of others.

    Raises:
      DataError: there is one.
    """
    trained = {of_examples({"": tasks[name]}): name for name in parts["train"]}
    for part, names in parts.items():
        for name in names if part != "train" else ():
            if (twin := trained.get(of_examples({"": tasks[name]}))) is not None:
                raise DataError(
                    f"Task {name!r} ({part}) has the same data as task {twin!r} (train): a leak; "
                    "leave one of them out."
                )


def of_examples(tasks: Mapping[str, TaskExamples]) -> str:
    """Of a user's arrays."""

    def arrays() -> Iterator[tuple[Sequence[Any], np.ndarray]]:
        for name, task in sorted(tasks.items()):
            for kind, part in task._asdict().items():
                yield from (([(name, kind, key)], part[key]) for key in sorted(part))

    return digest(arrays())
