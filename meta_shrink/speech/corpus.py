"""One NPZ file per speaker: codes and frame features of all utterances, end to end.

Arrays: codes uint8 [samples], phones uint8 [frames, 3], numbers float32 [frames, 6] (see
features), utterances str [U], frames int32 [U] (each utterance has hop * frames samples), and
`about`, a JSON text: {"format": FORMAT, "speaker", "split", "sample_rate", "pre_emphasis",
"features_version", "settings", "left_out": [[utterance, why], ...], "sha256"}.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.durable_files import open_file
from meta_shrink.errors import DataError
from meta_shrink.images.whole_files import publish
from meta_shrink.speech.features import FEATURES_VERSION, NUMBERS, Frames
from meta_shrink.speech.signal import Decoder, hop_of

FORMAT = "meta_shrink speech 1"
SUFFIX = ".npz"
PARTS = "parts"  # The folder of what is prepared of a speaker: NAME.FIRST.npz.
_PART = re.compile(r"(?s:.+)\.\d+\.npz(?:\.\d+\.tmp)?")
ARRAYS = ("codes", "phones", "numbers", "utterances", "frames")
_ERRORS = (ValueError, KeyError, EOFError, OSError, TypeError, zipfile.BadZipFile, zlib.error)


Sounds = list[tuple[str, bytes]]  # (SPEAKER/UTTERANCE, `sound_digest`) of each.


class Utterance(NamedTuple):
    """A prepared utterance: its name, codes uint8 [hop * F], features of F frames."""

    name: str
    codes: np.ndarray
    features: Frames


class Speaker(NamedTuple):
    """A speaker's utterances; split is "train", "test", or "" where the corpus says nothing.

    sample_rate, pre_emphasis: of the codes (signal.encode).
    """

    name: str
    split: str
    sample_rate: int
    utterances: Sequence[Utterance]
    about: Mapping[str, Any]
    pre_emphasis: float = 0.0

    def sound(self, utterance: Utterance) -> np.ndarray:
        """float32 samples [hop * F] in [-1, 1] of one of them."""
        return Decoder(self.pre_emphasis)(utterance.codes)


def write_speaker(path: str, speaker: Speaker) -> None:
    """Writes a speaker's file, whole or not at all; speaker.about adds what else is to be kept."""
    own = speaker.utterances
    arrays: dict[str, Any] = {
        "codes": np.concatenate([np.zeros([0], np.uint8), *(u.codes for u in own)]),
        "phones": np.concatenate([np.zeros([0, 3], np.uint8), *(u.features.phones for u in own)]),
        "numbers": np.concatenate(
            [np.zeros([0, len(NUMBERS)], np.float32), *(u.features.numbers for u in own)]
        ),
        "utterances": np.array([u.name for u in own], np.str_),
        "frames": np.array([len(u.features.phones) for u in own], np.int32),
    }
    about = {
        **speaker.about,
        "format": FORMAT,
        "speaker": speaker.name,
        "split": speaker.split,
        "sample_rate": speaker.sample_rate,
        "pre_emphasis": speaker.pre_emphasis,
        "features_version": FEATURES_VERSION,
        "sha256": _digest(arrays),
    }
    text = np.array(json.dumps(about, sort_keys=True))
    publish(path, lambda file: np.savez_compressed(file, about=text, **arrays))


def read_speaker(path: str) -> Speaker:
    """A speaker that write_speaker wrote.

    Raises:
      DataError: there is no such file, it is damaged, or of another version.
    """
    try:
        with open_file(path) as content, np.load(content, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ARRAYS}
            about = json.loads(str(file["about"]))
        whole = about["format"] == FORMAT and about["sha256"] == _digest(arrays)
        version, hop = about["features_version"], hop_of(about["sample_rate"])
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; prepare the data again.") from error
    except _ERRORS as error:
        # NumPy's own words on other files advise to load them unsafely.
        why = "no arrays that can be read" if "pickle" in str(error) else error
        raise DataError(
            f"{path} is no prepared speaker ({why}); prepare it again, or move it away if it is "
            "of something else."
        ) from error
    if not whole or version != FEATURES_VERSION:
        raise DataError(
            f"{path} is damaged or of another version (features {version}, expected "
            f"{FEATURES_VERSION}); remove it and run meta-shrink prepare-data speech again."
        )
    own, emphasis = _cut(arrays, hop), about.get("pre_emphasis", 0.0)
    return Speaker(about["speaker"], about["split"], about["sample_rate"], own, about, emphasis)


def read_speakers(folder: str) -> list[Speaker]:
    """All speakers of a prepared folder, in the order of their names.

    Raises:
      DataError: there is none, one is damaged, their sample rates or pre-emphases differ, a sound
        is there twice, or some are still to be prepared.
    """
    if part_files(folder):
        raise DataError(
            f"{folder} is prepared in part: the same command of meta-shrink prepare-data speech "
            f"goes on, or remove {os.path.join(folder, PARTS)} and go without what is missing."
        )
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except OSError:
        names = []
    if not names:
        raise DataError(
            f"{folder} holds no prepared speech; run meta-shrink prepare-data speech "
            f"--from=PATH --out={folder}."
        )
    speakers = [read_speaker(os.path.join(folder, name)) for name in names]
    if len(rates := {speaker.sample_rate for speaker in speakers}) > 1:
        raise DataError(f"{folder} has several sample rates, {sorted(rates)}; prepare it again.")
    if len(emphases := {speaker.pre_emphasis for speaker in speakers}) > 1:
        raise DataError(f"{folder} has several pre-emphases, {sorted(emphases)}; prepare it again.")
    refuse_copies(folder, [sound for speaker in speakers for sound in sounds_of(speaker)])
    return speakers


def sounds_of(speaker: Speaker) -> Sounds:
    """Of each utterance."""
    return [(f"{speaker.name}/{one.name}", sound_digest(one)) for one in speaker.utterances]


def refuse_copies(folder: str, sounds: Sounds) -> None:
    """Refuse one sound twice, as of a speaker who was given another name.

    Args:
      sounds: of all speakers, of sounds_of.

    Raises:
      DataError: there is one.
    """
    known: dict[bytes, str] = {}
    for name, digest in sounds:
        first = known.setdefault(digest, name)
        if first != name:
            raise DataError(
                f"{folder}: {first} and {name} are the same sound, and what is held out of "
                "training may be learned: take one of the recordings away, remove the prepared "
                "files of these speakers, and prepare the data again."
            )


def sound_digest(utterance: Utterance) -> bytes:
    """Equal for equal sounds, whatever files they were in."""
    return hashlib.sha256(np.ascontiguousarray(utterance.codes).data).digest()


def part_files(folder: str) -> list[str]:
    """The files of a preparation that goes on or was stopped."""
    parts = os.path.join(folder, PARTS)
    try:
        return [os.path.join(parts, name) for name in os.listdir(parts) if _PART.fullmatch(name)]
    except OSError:
        return []


def _cut(arrays: Mapping[str, np.ndarray], hop: int) -> list[Utterance]:
    ends = np.cumsum(arrays["frames"])
    utterances = []
    for name, first, end in zip(arrays["utterances"], ends - arrays["frames"], ends, strict=True):
        frames = Frames(arrays["phones"][first:end], arrays["numbers"][first:end])
        utterances.append(Utterance(str(name), arrays["codes"][first * hop : end * hop], frames))
    return utterances


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in ARRAYS:
        value = arrays[name]
        digest.update(f"{name} {value.dtype} {value.shape}\n".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
