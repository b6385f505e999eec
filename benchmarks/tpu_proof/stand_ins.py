"""Data of the shapes of the real data sets, so that experiments can be built without them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np

from meta_shrink.images.classes import ImageClasses, from_counts
from meta_shrink.images.omniglot import CHARACTERS, INSTANCES
from meta_shrink.speech.corpus import Speaker, Utterance
from meta_shrink.speech.features import NUMBERS, Frames
from meta_shrink.speech.signal import hop_of

ALPHABETS = 46
PHOTOGRAPHS = {"train": 49, "val": 12, "test": 20}  # classes of grocery84, 30 pictures each
SPEAKERS, UTTERANCES, FRAMES, SAMPLE_RATE = 4, 5, 400, 16_000


@contextmanager
def stand_ins(*, tpu: bool = True) -> Iterator[None]:
    """Within, the readers of Omniglot, picture folders and speech give random numbers; all else
    of a task (drawing, turning, augmenting, cutting) is the experiment's own, as on a TPU or as
    here."""
    few_shot, alphabets = "meta_shrink.tasks.few_shot", "meta_shrink.tasks.alphabets"
    with ExitStack() as stack:
        for name, reader in {
            f"{few_shot}.read_omniglot": omniglot,
            f"{alphabets}.read_omniglot": omniglot,
            f"{few_shot}.load_image_folder": photographs,
            "meta_shrink.tasks.speech.read_speakers": speakers,
        }.items():
            stack.enter_context(mock.patch(name, reader))
        stack.enter_context(mock.patch("meta_shrink.tasks.augment.on_tpu", lambda: tpu))
        yield


def omniglot(data_dir: str, image_size: int, interpolation: str, invert: bool) -> ImageClasses:
    """As many characters, alphabets and drawings as Omniglot has."""
    del data_dir, interpolation, invert
    groups = [f"alphabet{number % ALPHABETS:02d}" for number in range(CHARACTERS)]
    names = [f"{group}/character{number:04d}" for number, group in enumerate(groups)]
    return from_counts(
        _pixels(CHARACTERS * INSTANCES, image_size, 1), names, [INSTANCES] * CHARACTERS, groups
    )


def photographs(data_dir: str, *, image_size: int, **how: object) -> dict[str, ImageClasses]:
    """As many photographs as grocery84 has."""
    del data_dir, how
    return {
        split: from_counts(
            _pixels(count * 30, image_size, 3), [f"{split}{n}" for n in range(count)], [30] * count
        )
        for split, count in PHOTOGRAPHS.items()
    }


def speakers(folder: str) -> list[Speaker]:
    """A few speakers with a few utterances of two seconds: how many changes no computation."""
    del folder
    rng = np.random.default_rng(0)

    def utterance(number: int) -> Utterance:
        codes = rng.integers(0, 256, [FRAMES * hop_of(SAMPLE_RATE)]).astype(np.uint8)
        phones, numbers = np.zeros([FRAMES, 3], np.uint8), np.zeros([FRAMES, len(NUMBERS)])
        return Utterance(f"u{number}", codes, Frames(phones, numbers.astype(np.float32)))

    splits = ["train"] * (SPEAKERS - 1) + ["test"]
    return [
        Speaker(f"s{n}", split, SAMPLE_RATE, [utterance(u) for u in range(UTTERANCES)], {})
        for n, split in enumerate(splits)
    ]


def _pixels(count: int, size: int, channels: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, [count, size, size, channels], np.uint8)
