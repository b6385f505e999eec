"""Recordings into prepared speakers: decode, resample, align, find the pitch, encode, write."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.errors import DataError, MetaShrinkError, UsageError
from meta_shrink.runs.progress import Progress
from meta_shrink.speech.alignment import align
from meta_shrink.speech.audio_files import load
from meta_shrink.speech.corpus import SUFFIX, Speaker, Utterance, read_speaker, write_speaker
from meta_shrink.speech.features import FEATURES_VERSION, Frames, Phone, frame_features
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.recordings import Recording
from meta_shrink.speech.signal import hop_of, mu_law_encode, pitch

CHUNK = 50
PARTS = "parts"


class Job(NamedTuple):
    """What one process makes at a time: some recordings of one speaker, one file."""

    path: str
    recordings: Sequence[Recording]
    sample_rate: int
    lexicon: Mapping[str, Sequence[str]]


class Prepared(NamedTuple):
    """A prepared speaker: what it has, and what was left out and why."""

    speaker: str
    split: str
    utterances: int
    seconds: float
    left_out: Sequence[tuple[str, str]]


def prepare_speech(
    source: str,
    folder: str,
    *,
    sample_rate: int = 16_000,
    processes: int = 1,
    log: Callable[[str], Any] = print,
) -> list[Prepared]:
    """Writes a file per speaker into a folder; what is there already is not made again.

    An utterance that cannot be read or aligned is named and left out. Work is kept in pieces of
    CHUNK utterances in <folder>/parts until a speaker is whole.

    Args:
      source: of find_recordings.
      sample_rate: of the codes.
      processes: pieces prepared at a time.

    Raises:
      DataError: nothing to prepare, or no utterance could be.
      UsageError: a number out of range, or a package is missing.
    """
    hop_of(sample_rate)
    if processes < 1:
        raise UsageError(f"processes is {processes}; expected at least 1.")
    corpus = find_recordings(source)
    os.makedirs(os.path.join(folder, PARTS), exist_ok=True)
    wholes = [
        Job(os.path.join(folder, f"{_file_name(name)}{SUFFIX}"), own, sample_rate, corpus.lexicon)
        for name, own in _by_speaker(corpus.recordings).items()
    ]
    done = {job.path: speaker for job in wholes if (speaker := _kept(job))}
    log(
        f"{len(corpus.recordings)} recordings of {len(wholes)} speakers; {len(done)} speakers were "
        "prepared already."
    )
    missing = [job for job in wholes if job.path not in done]
    with Progress(max(sum(len(j.recordings) for j in missing), 1), label="utterances") as progress:
        for job, speaker in _speakers(missing, processes, progress, log):
            done[job.path] = speaker
    shutil.rmtree(os.path.join(folder, PARTS), ignore_errors=True)
    prepared = [_summary(speaker) for speaker in done.values()]
    if not any(speaker.utterances for speaker in prepared):
        raise DataError(f"No utterance of {source} could be prepared; the reasons are above.")
    return sorted(prepared)


def _by_speaker(recordings: Sequence[Recording]) -> dict[str, list[Recording]]:
    speakers: dict[str, list[Recording]] = {}
    for recording in recordings:
        speakers.setdefault(recording.speaker, []).append(recording)
    return speakers


def _speakers(jobs: Sequence[Job], processes: int, progress: Progress, log):
    """(job, its speaker) of each, as soon as all of its pieces are there."""
    pieces = {job.path: _pieces(job) for job in jobs}
    whole_of = {piece.path: job for job in jobs for piece in pieces[job.path]}
    parts: dict[str, dict[str, Speaker]] = {job.path: {} for job in jobs}
    count = 0
    for piece, speaker in _results([p for job in jobs for p in pieces[job.path]], processes):
        for name, why in speaker.about["left_out"]:
            log(f"left out: {speaker.name}/{name}: {why}")
        count += len(piece.recordings)
        progress.update(count)
        job = whole_of[piece.path]
        own = parts[job.path]
        own[piece.path] = speaker
        if len(own) == len(pieces[job.path]):
            yield job, _joined(job, [own[p.path] for p in pieces[job.path]])
            del parts[job.path]


def _pieces(job: Job) -> list[Job]:
    folder, name = os.path.split(job.path)
    return [
        job._replace(
            path=os.path.join(folder, PARTS, f"{name.removesuffix(SUFFIX)}.{first}{SUFFIX}"),
            recordings=job.recordings[first : first + CHUNK],
        )
        for first in range(0, len(job.recordings), CHUNK)
    ]


def _joined(job: Job, parts: Sequence[Speaker]) -> Speaker:
    """The speaker of its pieces, written."""
    utterances = [utterance for part in parts for utterance in part.utterances]
    left_out = [pair for part in parts for pair in part.about["left_out"]]
    speaker = parts[0]._replace(
        utterances=utterances, about={"settings": _settings(job), "left_out": left_out}
    )
    if utterances:
        write_speaker(job.path, speaker)
    return speaker


def _results(jobs: Sequence[Job], processes: int):
    if processes == 1 or len(jobs) <= 1:
        yield from ((job, prepare_piece(job)) for job in jobs)
        return
    # Spawned: a forked TensorFlow may hang.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = {pool.submit(prepare_piece, job): job for job in jobs}
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def prepare_piece(job: Job) -> Speaker:
    """The utterances of a job, from its file where that is there."""
    if kept := _kept(job):
        return kept
    utterances, left_out = [], []
    for recording in job.recordings:
        try:
            utterances.append(prepare_utterance(recording, job.sample_rate, job.lexicon))
        except DataError as error:
            left_out.append([recording.utterance, str(error)])
    first = job.recordings[0]
    about = {"settings": _settings(job), "left_out": left_out}
    speaker = Speaker(first.speaker, first.split, job.sample_rate, utterances, about)
    write_speaker(job.path, speaker)
    return speaker


def prepare_utterance(
    recording: Recording, sample_rate: int, lexicon: Mapping[str, Sequence[str]]
) -> Utterance:
    """One utterance, of a whole number of frames.

    Raises:
      DataError: it cannot be read or aligned.
    """
    samples = load(recording.place.read(), recording.place.path, sample_rate)
    frames = told_frames(samples, sample_rate, recording.text, lexicon, phones=recording.phones)
    codes = mu_law_encode(samples[: len(frames.phones) * hop_of(sample_rate)])
    return Utterance(recording.utterance, codes, frames)


def told_frames(
    samples: np.ndarray,
    sample_rate: int,
    text: str,
    lexicon: Mapping[str, Sequence[str]],
    *,
    phones: Sequence[Phone] | None = None,
) -> Frames:
    """What the network is told of an utterance.

    Args:
      phones: a ready alignment; None: that of the text.

    Raises:
      DataError: it is too short, or cannot be aligned.
    """
    f0 = pitch(samples, sample_rate)
    if not len(f0):
        raise DataError("it is shorter than a frame of 5 ms.")
    return frame_features(phones or align(samples, sample_rate, text, lexicon), f0)


def _kept(job: Job) -> Speaker | None:
    """What an earlier preparation made of the same recordings in the same way."""
    try:
        speaker = read_speaker(job.path)
    except MetaShrinkError:
        return None
    return speaker if speaker.about.get("settings") == _settings(job) else None


def _summary(speaker: Speaker) -> Prepared:
    samples = sum(len(utterance.codes) for utterance in speaker.utterances)
    left_out = [tuple(pair) for pair in speaker.about["left_out"]]
    return Prepared(
        speaker.name,
        speaker.split,
        len(speaker.utterances),
        samples / speaker.sample_rate,
        left_out,
    )


def _settings(job: Job) -> str:
    """SHA-256 of all that decides the file of a job."""
    content = json.dumps([FEATURES_VERSION, job.sample_rate, job.recordings, dict(job.lexicon)])
    return hashlib.sha256(content.encode()).hexdigest()


def _file_name(speaker: str) -> str:
    """A name for a file; one that had to be changed has a hash, so that no two share it."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in speaker)
    if safe == speaker:
        return safe
    return f"{safe[:40]}-{hashlib.sha256(speaker.encode()).hexdigest()[:8]}"
