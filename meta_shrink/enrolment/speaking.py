"""From a recording's words, timing and melody to sound in an enrolled voice."""

from __future__ import annotations

import errno
import math
import os

import numpy as np

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.reading import Adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.voices import Voices, recordings_of
from meta_shrink.durable_files import check_writable, read_file, write_atomically
from meta_shrink.errors import DataError, UsageError, unwritable
from meta_shrink.runs.progress import Progress
from meta_shrink.speech.audio_files import load, pcm, wav_header
from meta_shrink.speech.features import NUMBERS, Frames, network_features
from meta_shrink.speech.prepare import told_frames
from meta_shrink.speech.quality import check_recording
from meta_shrink.speech.recordings import Lexicon, Place

MAX_SECONDS, MAX_SHIFT, WAV = 60.0, 24.0, ".wav"
_VOICED, _LOG_F0 = NUMBERS.index("voiced"), NUMBERS.index("log_f0")


def features_of(
    path: str,
    text: str,
    info: BackboneInfo,
    *,
    shift: float = 0.0,
    lexicon: Lexicon | None = None,
) -> np.ndarray:
    """float32 [F, FEATURES] of a recording.

    Args:
      path: a sound file. text: what it says; "": what the file of its name with .txt says.
      shift: semitones, of its pitch. lexicon: of alignment.align.

    Raises:
      DataError: it cannot be read or aligned, is silent or noisy, or longer than MAX_SECONDS.
      UsageError: no text, a shift beyond two octaves, a backbone of something else.
    """
    content = Place(path).read()
    said = text or _text_beside(path)
    how = {"shift": shift, "max_seconds": MAX_SECONDS, "lexicon": lexicon}
    return features_of_sound(content, said, info, name=path, **how)


def features_of_sound(
    content: bytes,
    text: str,
    info: BackboneInfo,
    *,
    name: str,
    shift: float,
    max_seconds: float,
    lexicon: Lexicon | None = None,
) -> np.ndarray:
    """As features_of, of the bytes of a sound file; name: what the errors call it."""
    told = recordings_of(info)
    _check(shift)
    samples = load(content, name, told.sample_rate, max_seconds=max_seconds)
    try:
        check_recording(samples, told.sample_rate, may_clip=True)
        frames = told_frames(samples, told.sample_rate, text, lexicon or {})
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    return shifted(frames, shift)


def shifted(frames: Frames, shift: float) -> np.ndarray:
    """float32 [F, FEATURES] of frames whose pitch is moved by semitones.

    Raises:
      UsageError: more than MAX_SHIFT.
    """
    _check(shift)
    numbers = frames.numbers.copy()
    numbers[:, _LOG_F0] += numbers[:, _VOICED] * shift * math.log(2) / 12
    return network_features(frames.phones, numbers).numpy()


def _check(shift: float) -> None:
    if not abs(shift) <= MAX_SHIFT:
        raise UsageError(f"shift is {shift} semitones; expected {-MAX_SHIFT:g} to {MAX_SHIFT:g}.")


def _text_beside(path: str) -> str:
    beside = f"{os.path.splitext(path)[0]}.txt"
    try:
        return read_file(beside).decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"What does {path} say? There is no text in {beside} ({error}); give --text."
        ) from error


def spoken(
    backbone: Backbone,
    adapter: Adapter,
    features: np.ndarray,
    *,
    seed: int = 0,
    temperature: float = 1.0,
) -> tuple[np.ndarray, int]:
    """(float32 samples [F * hop] in [-1, 1], sample rate), with progress.

    Args:
      features: [F, FEATURES]. seed, temperature: of Voices.speak.
    """
    voices, pieces, done = Voices(backbone), [], 0
    with Progress(len(features), label="frames") as progress:
        for piece in voices.speak(
            features[np.newaxis], [adapter], seed=seed, temperature=temperature
        ):
            pieces.append(piece[0])
            done += piece.shape[1] // voices.hop
            progress.update(done)
    return voices.decoder()(np.concatenate(pieces)), voices.recordings.sample_rate


def check_out(path: str, like: str | None = None) -> None:
    """Before an utterance is spoken, which takes minutes.

    Args:
      like: a recording, which stays.

    Raises:
      UsageError, DiskError: it is no WAV file's name, the recording itself, or cannot be written;
        or the picture would take the place of one that is of nothing spoken before.
    """
    if not path.lower().endswith(WAV):
        raise UsageError(f"--out={path}: what is written is a WAV file; call it NAME{WAV}.")
    if like is not None and os.path.realpath(path) == os.path.realpath(like):
        raise UsageError(f"--out={path} is the recording --like itself: name another file.")
    picture = picture_beside(path)
    if os.path.lexists(picture) and not os.path.lexists(path):
        raise UsageError(
            f"--out={path}: its spectrogram would replace {picture}, which is there and of no "
            "such sound; name another file, or move that one."
        )
    try:
        for place in (path, picture):
            if os.path.isdir(place):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), place)
        check_writable(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        raise unwritable(path, error) from error


def picture_beside(path: str) -> str:
    """Where the spectrogram of a sound is drawn."""
    return f"{os.path.splitext(path)[0]}.png"


def write_wav(path: str, samples: np.ndarray, rate: int) -> None:
    """Write samples in [-1, 1] as 16-bit PCM, whole or not at all.

    Raises:
      UsageError, DiskError: the file cannot be written.
    """
    content = pcm(samples)
    try:
        write_atomically(path, wav_header(rate, len(content)) + content)
    except OSError as error:
        raise unwritable(path, error) from error
