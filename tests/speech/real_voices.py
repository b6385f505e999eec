"""Real recordings in folders, as a user has them, and voices of them that are worse."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np

from meta_shrink.enrolment.speaking import write_wav
from meta_shrink.speech.audio_files import load
from meta_shrink.speech.signal import pitch, resample, world
from tests.image_data import published

RATE = 16_000


def content(archive: tarfile.TarFile, name: str) -> bytes:
    """The bytes of a member."""
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def recordings(folder: Path, speakers: int) -> Path:
    """The folder, with three real recordings of each of some speakers, each with its .txt."""
    with tarfile.open(published("speech") / "so762_sample_wav.tar.gz") as archive:
        lines = [json.loads(x) for x in content(archive, "metadata.jsonl").splitlines()]
        names = sorted({line["speaker"] for line in lines})
        # The first and the last are of different pitch.
        chosen = {names[0], *names[len(names) + 1 - speakers :]}
        for line in [x for x in lines if x["speaker"] in chosen]:
            place = folder / line["speaker"] / f"{line['utterance']}.wav"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content(archive, line["path"]))
            place.with_suffix(".txt").write_text(line["text"])
    return folder


def buzz(samples: np.ndarray) -> np.ndarray:
    """A recording's melody and loudness without its words or its voice: one spectrum throughout."""
    library, wave = world(), np.ascontiguousarray(samples, np.float64)
    f0 = np.ascontiguousarray(pitch(samples, RATE), np.float64)
    envelope = library.cheaptrick(wave, f0, np.arange(len(f0)) / 200, RATE)
    constant = np.exp(np.log(envelope).mean(0, keepdims=True))
    flat = np.ascontiguousarray(constant * envelope.sum(1, keepdims=True) / constant.sum())
    f0, periodic = np.where(f0 > 0, f0, 120.0), np.full_like(flat, 1e-3)
    made = library.synthesize(f0, flat, periodic, RATE, 5.0)
    return np.clip(np.resize(made, len(samples)), -1, 1).astype(np.float32)


def said_by(how, real: Path, folder: Path, rate: int = RATE) -> Path:
    """The folder, with each recording as a function of its samples says it, and no texts."""
    for path in real.glob("*/*.wav"):
        place = folder / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        said = how(load(path.read_bytes(), path.name, RATE))
        write_wav(str(place), resample(said, RATE, rate), rate)
    return folder
