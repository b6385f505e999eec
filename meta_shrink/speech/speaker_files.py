"""Which speaker is prepared into which file, in which pieces, and whether that is done."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from meta_shrink.durable_files import remove_file
from meta_shrink.errors import DataError, MetaShrinkError
from meta_shrink.speech.corpus import PARTS, SUFFIX, Speaker, part_files, read_speaker
from meta_shrink.speech.features import FEATURES_VERSION
from meta_shrink.speech.recordings import Corpus, Lexicon, Recording

CHUNK = 50
_LONGEST_NAME = 100


class Job(NamedTuple):
    """What one process makes at a time: some recordings of one speaker, one file."""

    path: str
    recordings: Sequence[Recording]
    sample_rate: int
    lexicon: Lexicon
    pre_emphasis: float = 0.0


def speaker_jobs(
    corpus: Corpus, folder: str, sample_rate: int, pre_emphasis: float = 0.0
) -> list[Job]:
    """A job for each speaker.

    Raises:
      DataError: a speaker is in several splits.
    """
    speakers: dict[str, list[Recording]] = {}
    for recording in corpus.recordings:
        own = speakers.setdefault(recording.speaker, [])
        own.append(recording)
        if recording.split != own[0].split:
            raise DataError(
                f"Speaker {recording.speaker} is in two splits, {own[0].split or 'none'!r} with "
                f"{own[0].utterance} and {recording.split or 'none'!r} with {recording.utterance}: "
                "a speaker is a task, trained on or held out as a whole."
            )
    files = {name: os.path.join(folder, f"{_file_name(name)}{SUFFIX}") for name in speakers}
    return [
        Job(files[name], own, sample_rate, corpus.lexicon, pre_emphasis)
        for name, own in speakers.items()
    ]


def pieces_of(job: Job) -> list[Job]:
    """A speaker's job in pieces of CHUNK utterances, which are kept until all are whole."""
    folder, name = os.path.split(job.path)
    return [
        job._replace(
            path=os.path.join(folder, PARTS, f"{name.removesuffix(SUFFIX)}.{first}{SUFFIX}"),
            recordings=job.recordings[first : first + CHUNK],
        )
        for first in range(0, len(job.recordings), CHUNK)
    ]


def remove_pieces(folder: str, jobs: Sequence[Job]) -> None:
    """Those of speakers that are whole; another corpus's, which was stopped, stay."""
    own = {os.path.basename(job.path).removesuffix(SUFFIX) for job in jobs}
    for path in part_files(folder):
        if os.path.basename(path).partition(".")[0] in own:  # Names of files have no dot.
            remove_file(path)
    with contextlib.suppress(OSError):  # There may be others.
        os.rmdir(os.path.join(folder, PARTS))


def kept(job: Job) -> Speaker | None:
    """What an earlier preparation made of the same recordings in the same way."""
    try:
        speaker = read_speaker(job.path)
    except MetaShrinkError:
        return None
    return speaker if speaker.about.get("settings") == settings_of(job) else None


def require_own_file(job: Job) -> None:
    """Refuse to write over another speaker of the same name.

    Raises:
      DataError: the file holds utterances, and none of them is among the recordings.
    """
    try:
        old = [utterance.name for utterance in read_speaker(job.path).utterances]
    except MetaShrinkError:  # There is none, or a damaged one, which is made again.
        return
    if old and not set(old) & {recording.utterance for recording in job.recordings}:
        one = job.recordings[0]
        raise DataError(
            f"{job.path} holds {one.speaker} with {old[0]} and the like, and none of these is "
            f"among the recordings now, {one.utterance} and the like: if that is somebody else, "
            "rename the speaker or give another --out; else remove the file."
        )


def require_one_coding(folder: str, jobs: Sequence[Job]) -> None:
    """Refuse to leave speakers of two sample rates or pre-emphases in a folder, before any file is
    written over.

    Raises:
      DataError: it holds a speaker of others that is not among the jobs.
    """
    asked = jobs[0]
    for name in other_speakers(folder, jobs):
        try:
            other = read_speaker(os.path.join(folder, name))
        except MetaShrinkError:  # Foreign or damaged: it is told when it is trained on.
            continue
        for what in ("sample_rate", "pre_emphasis"):
            if (there := getattr(other, what)) != (wanted := getattr(asked, what)):
                raise DataError(
                    f"{folder} holds {name} with {what} {there}, of a speaker who is not among the "
                    f"recordings, and {wanted} is asked for: give another --out, or remove the "
                    "file."
                )


def settings_of(job: Job) -> str:
    """SHA-256 of all that decides the file of a job; of sound, the size and time of its file."""
    recordings = [_from_anywhere(recording) for recording in job.recordings]
    stamps = [_stamp(recording.place.path) for recording in job.recordings]
    told = [FEATURES_VERSION, job.sample_rate, recordings, stamps, dict(job.lexicon)]
    if job.pre_emphasis:  # What was prepared before there was one stays.
        told.append(job.pre_emphasis)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _from_anywhere(recording: Recording) -> Recording:
    """The same wherever the command was typed."""
    place: Any = recording.place
    return recording._replace(place=place._replace(path=os.path.abspath(place.path)))


def other_speakers(folder: str, jobs: Sequence[Job]) -> list[str]:
    """The files of speakers in a folder that are of no job."""
    own = {os.path.basename(job.path) for job in jobs}
    return sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX) and name not in own)


def _stamp(path: str) -> list[int]:
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(path)
        return [status.st_size, status.st_mtime_ns]
    return []


def _file_name(speaker: str) -> str:
    """A name for a file; one that had to be changed has a hash, so that no two share it."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in speaker)
    if safe == speaker and len(safe) <= _LONGEST_NAME:
        return safe
    return f"{safe[:40]}-{hashlib.sha256(speaker.encode()).hexdigest()[:8]}"
