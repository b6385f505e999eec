"""Corpora that tensorflow-datasets has prepared: vctk, ljspeech, libritts and what is like them."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.errors import DataError
from meta_shrink.images.optional import optional_module
from meta_shrink.speech.recordings import Recording
from meta_shrink.speech.signal import speech_module

SPEECH, NAME = "speech", "id"
SPEAKERS, TEXTS = ("speaker", "speaker_id"), ("text_normalized", "text")  # The first that is there.


class Example(NamedTuple):
    """The sound of one example of a prepared data set, as a WAV file of 16 bits."""

    path: str
    split: str
    number: int

    def read(self) -> bytes:
        """The bytes.

        Raises:
          DataError: they cannot be read.
        """
        builder = _builder(self.path)
        own = f"{self.split}[{self.number}:{self.number + 1}]"
        example = next(_rows(builder, own), None)
        if example is None:
            raise DataError(f"{self.path} has no example {own}.")
        file = io.BytesIO()
        sound, rate = example[SPEECH].astype(np.int16), builder.info.features[SPEECH].sample_rate
        speech_module("soundfile").write(file, sound, rate, format="WAV", subtype="PCM_16")
        return file.getvalue()


def is_prepared(folder: str) -> bool:
    """Whether tensorflow-datasets wrote this folder: NAME/[CONFIG/]VERSION of its data_dir."""
    return all(
        os.path.isfile(os.path.join(folder, f"{n}.json")) for n in ("dataset_info", "features")
    )


def recordings(folder: str) -> list[Recording]:
    """The utterances of a prepared data set, its splits `test*` being held out.

    Raises:
      DataError: it cannot be read, or is not one of speech with texts, of a known sample rate.
    """
    builder = _builder(folder)
    features = dict(builder.info.features or {})
    speaker, text = (_first(features, names) for names in (SPEAKERS, TEXTS))
    if text is None or not getattr(features.get(SPEECH), "sample_rate", None):
        raise DataError(
            f"{folder} has the features {', '.join(features)}; expected {SPEECH} of a known sample "
            f"rate and {' or '.join(TEXTS)}."
        )
    undecoded = {SPEECH: optional_module("tensorflow_datasets").decode.SkipDecoding()}
    found = []
    for split in builder.info.splits:
        for number, row in enumerate(_rows(builder, split, undecoded)):
            name = _text(row[NAME]) if NAME in features else f"{split}_{number:06}"
            who = _named(features[speaker], row[speaker]) if speaker else builder.name
            place = Example(folder, split, number)
            part = "test" if split.startswith("test") else "train"
            found.append(Recording(who, name, _text(row[text]), part, place))
    return found


def _rows(builder: Any, split: str, decoders: Any = None) -> Iterator[dict[str, Any]]:
    """All examples of a split; what TensorFlow raises on damaged files as one sentence.

    Shard by shard: a whole split is else read from 16 shards in turn, and a part of it is not, so
    that a number would be another example there.
    """
    told = optional_module("tensorflow_datasets").ReadConfig(interleave_cycle_length=1)
    try:
        rows = builder.as_dataset(split=split, decoders=decoders, read_config=told)
        yield from rows.as_numpy_iterator()
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        raise DataError(f"{builder.data_dir} cannot be read ({why}).") from error


@functools.lru_cache(maxsize=1)  # Each example is read by it.
def _builder(folder: str) -> Any:
    try:
        return optional_module("tensorflow_datasets").builder_from_directory(folder)
    except Exception as error:  # Of its readers of JSON, among others.
        why = " ".join(str(error).split())[:200]
        raise DataError(f"{folder} is no data set that can be read ({why}).") from error


def _first(features: Any, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in features), None)


def _named(feature: Any, value: Any) -> str:
    """A speaker as a word: a label has a name, a number is one."""
    return feature.int2str(int(value)) if hasattr(feature, "int2str") else _text(value)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
