"""Recordings into prepared speakers: decode, resample, align, find the pitch, encode, write."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from meta_shrink.errors import DataError, MetaShrinkError
from meta_shrink.runs.progress import Progress
from meta_shrink.speech.audio_files import load
from meta_shrink.speech.corpus import SUFFIX, Speaker, Utterance, read_speaker, write_speaker
from meta_shrink.speech.features import frame_features
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.recordings import Recording
from meta_shrink.speech.signal import hop_of, mu_law_encode, pitch


class Job(NamedTuple):
    """What one process makes of a speaker."""

    path: str
    recordings: Sequence[Recording]
    sample_rate: int
    lexicon: Mapping[str, Sequence[str]]
    settings: str


class Prepared(NamedTuple):
    """A prepared speaker: what went in, what was left out and why, whether it was there before."""

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

    An utterance that cannot be read or aligned is named and left out.

    Args:
      source: any layout of find_recordings.
      sample_rate: of the codes.
      processes: speakers prepared at a time.

    Raises:
      DataError: nothing to prepare, or no utterance could be.
      UsageError: a bad sample rate, or a package is missing.
    """
    hop_of(sample_rate)
    corpus = find_recordings(source)
    os.makedirs(folder, exist_ok=True)
    speakers: dict[str, list[Recording]] = {}
    for recording in corpus.recordings:
        speakers.setdefault(recording.speaker, []).append(recording)
    jobs = [
        Job(os.path.join(folder, f"{_file_name(name)}{SUFFIX}"), own, sample_rate, {}, "")
        for name, own in sorted(speakers.items())
    ]
    jobs = [job._replace(settings=_settings(job), lexicon=corpus.lexicon) for job in jobs]
    done, open_jobs = _already(jobs)
    log(
        f"{len(corpus.recordings)} recordings of {len(jobs)} speakers; {len(done)} speakers were "
        "prepared already."
    )
    done += _run(open_jobs, processes, log)
    if not any(prepared.utterances for prepared in done):
        raise DataError(f"No utterance of {source} could be prepared; the reasons are above.")
    return sorted(done)


def _run(jobs: Sequence[Job], processes: int, log) -> list[Prepared]:
    """Prepares speakers, several at a time, and tells of progress and of what is left out."""
    done: list[Prepared] = []
    total = sum(len(job.recordings) for job in jobs)
    count = 0
    with Progress(max(total, 1), label="utterances") as progress:
        for job, prepared in _results(jobs, processes):
            for name, why in prepared.left_out:
                log(f"left out: {prepared.speaker}/{name}: {why}")
            done.append(prepared)
            count += len(job.recordings)
            progress.update(count)
    return done


def _results(jobs: Sequence[Job], processes: int):
    if processes <= 1 or len(jobs) <= 1:
        yield from ((job, prepare_speaker(job)) for job in jobs)
        return
    # Spawned: a forked TensorFlow may hang.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = {pool.submit(prepare_speaker, job): job for job in jobs}
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def prepare_speaker(job: Job) -> Prepared:
    """Prepares one speaker and writes its file."""
    utterances, left_out = [], []
    for recording in job.recordings:
        try:
            utterances.append(prepare_utterance(recording, job.sample_rate))
        except DataError as error:
            left_out.append((recording.utterance, str(error)))
    first = job.recordings[0]
    about = {"settings": job.settings, "left_out": left_out}
    speaker = Speaker(first.speaker, first.split, job.sample_rate, utterances, about)
    if utterances:
        write_speaker(job.path, speaker)
    return _summary(speaker)


def prepare_utterance(recording: Recording, sample_rate: int) -> Utterance:
    """One utterance, of a whole number of frames.

    Raises:
      DataError: it cannot be read or aligned.
    """
    samples = load(recording.place.read(), recording.place.path, sample_rate)
    f0 = pitch(samples, sample_rate)
    if recording.phones is None:
        raise DataError("there is no alignment of it.")
    codes = mu_law_encode(samples[: len(f0) * hop_of(sample_rate)])
    return Utterance(recording.utterance, codes, frame_features(recording.phones, f0))


def _already(jobs: Sequence[Job]) -> tuple[list[Prepared], list[Job]]:
    done, rest = [], []
    for job in jobs:
        try:
            speaker = read_speaker(job.path)
        except MetaShrinkError:
            speaker = None
        if speaker is None or speaker.about.get("settings") != job.settings:
            rest.append(job)
        else:
            done.append(_summary(speaker))
    return done, rest


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
    """SHA-256 of all that decides a speaker's file."""
    content = json.dumps([job.sample_rate, job.recordings], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _file_name(speaker: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in speaker).lstrip(".") or "_"
