"""Recordings into prepared speakers: decode, resample, align, find the pitch, encode, write."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.durable_files import remove_file, remove_leftovers
from meta_shrink.errors import DataError, Preempted, first_names, one_line
from meta_shrink.runs.locks import only_process_in
from meta_shrink.runs.processes import check_processes
from meta_shrink.runs.progress import Progress
from meta_shrink.speech.alignment import align
from meta_shrink.speech.audio_files import decode
from meta_shrink.speech.corpus import (
    PARTS,
    SUFFIX,
    Sounds,
    Speaker,
    Utterance,
    refuse_copies,
    sounds_of,
    write_speaker,
)
from meta_shrink.speech.features import Frames, Phone, frame_features
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.quality import check_emphasised, check_recording
from meta_shrink.speech.recordings import Lexicon, Recording
from meta_shrink.speech.same_sounds import each_sound_once
from meta_shrink.speech.signal import (
    around_zero,
    check_pre_emphasis,
    encode,
    hop_of,
    pitch,
    resample,
)
from meta_shrink.speech.speaker_files import (
    Job,
    kept,
    other_speakers,
    pieces_of,
    remove_pieces,
    require_one_coding,
    require_own_file,
    settings_of,
    speaker_jobs,
)


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
    pre_emphasis: float = 0.0,
    processes: int = 1,
    log: Callable[[str], Any] = print,
) -> list[Prepared]:
    """Writes a file per speaker into a folder; what is there already is not made again.

    An utterance that cannot be read or aligned, that is silent, clipped or noisy (quality), or that
    is the sound of another one of the speaker, is named and left out. Work is kept in pieces of a
    few utterances in <folder>/parts until all speakers are whole.

    Args:
      source: of find_recordings.
      sample_rate, pre_emphasis: of the codes (signal.encode).
      processes: pieces prepared at a time.

    Raises:
      DataError: nothing to prepare, no utterance could be, a speaker of several splits, or of a
        name that is prepared there of other recordings, or two speakers of one sound.
      UsageError: a number out of range, a package is missing, or another process prepares there.
      Preempted: a process was killed; what is done is kept.
    """
    hop_of(sample_rate)
    check_pre_emphasis(pre_emphasis)
    check_processes(processes)
    corpus = find_recordings(source, log=log)
    jobs = speaker_jobs(corpus, folder, sample_rate, pre_emphasis)
    os.makedirs(os.path.join(folder, PARTS), exist_ok=True)
    with only_process_in(folder):
        require_one_coding(folder, jobs)
        remove_leftovers(folder, f"*{SUFFIX}")
        done = _prepared(jobs, processes, log)
        remove_pieces(folder, jobs)
    if others := other_speakers(folder, jobs):
        log(
            f"{folder} also holds {len(others)} speaker(s) that {source} has not, and all are "
            f"trained on: {first_names(others)}; remove their files if they should not be."
        )
    if not any(speaker.utterances for speaker, _ in done):
        raise DataError(f"No utterance of {source} could be prepared; the reasons are above.")
    refuse_copies(folder, [sound for _, sounds in done for sound in sounds])
    return sorted(speaker for speaker, _ in done)


def _prepared(jobs: Sequence[Job], processes: int, log) -> list[tuple[Prepared, Sounds]]:
    """(The speaker, `sounds_of`) of each job; their files are written, and hold the rest."""
    done = {job.path: _told(speaker) for job in jobs if (speaker := kept(job))}
    missing = [job for job in jobs if job.path not in done]
    for job in missing:
        require_own_file(job)
    recordings = sum(len(job.recordings) for job in jobs)
    log(f"{recordings} recordings of {len(jobs)} speakers; {len(done)} were prepared already.")
    with Progress(max(sum(len(j.recordings) for j in missing), 1), label="utterances") as progress:
        for job, speaker in _speakers(missing, processes, progress, log):
            done[job.path] = _told(speaker)
    return list(done.values())


def _speakers(jobs: Sequence[Job], processes: int, progress: Progress, log):
    """(job, its speaker) of each, as soon as all of its pieces are there."""
    pieces = {job.path: pieces_of(job) for job in jobs}
    whole_of = {piece.path: job for job in jobs for piece in pieces[job.path]}
    parts: dict[str, dict[str, Speaker]] = {job.path: {} for job in jobs}
    count = 0
    for piece, speaker in _results([p for job in jobs for p in pieces[job.path]], processes):
        for name, why in speaker.about["left_out"]:
            log(one_line(f"left out: {speaker.name}/{name}: {why}"))
        count += len(piece.recordings)
        progress.update(count)
        job = whole_of[piece.path]
        own = parts[job.path]
        own[piece.path] = speaker
        if len(own) == len(pieces[job.path]):
            yield job, _joined(job, [own[p.path] for p in pieces[job.path]], log)
            del parts[job.path]


def _joined(job: Job, parts: Sequence[Speaker], log) -> Speaker:
    """The speaker of its pieces, written; without utterances there is no file, nor an old one."""
    utterances, copies = each_sound_once([u for part in parts for u in part.utterances])
    for name, why in copies:
        log(one_line(f"left out: {parts[0].name}/{name}: {why}"))
    left_out = [pair for part in parts for pair in part.about["left_out"]] + copies
    about = {"settings": settings_of(job), "left_out": left_out}
    speaker = parts[0]._replace(utterances=utterances, about=about)
    if utterances:
        write_speaker(job.path, speaker)
    else:
        remove_file(job.path)
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
                yield futures.pop(future), future.result()
        except BrokenProcessPool as error:
            raise Preempted(
                "A process that prepares was killed, maybe as memory ran out; what is done is "
                "kept, and the same command with fewer --processes goes on."
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def prepare_piece(job: Job) -> Speaker:
    """The utterances of a job, from its file where that is there."""
    if done := kept(job):
        return done
    utterances, left_out = heard(job)
    first = job.recordings[0]
    about = {"settings": settings_of(job), "left_out": left_out}
    told = job.sample_rate, utterances, about, job.pre_emphasis
    speaker = Speaker(first.speaker, first.split, *told)
    write_speaker(job.path, speaker)
    return speaker


def heard(job: Job) -> tuple[list[Utterance], list[list[str]]]:
    """(The utterances of a job that can be prepared, [name, why] of the others)."""
    utterances, left_out = [], []
    for recording in job.recordings:
        try:
            utterances.append(prepare_utterance(recording, job))
        except DataError as error:
            left_out.append([recording.utterance, str(error)])
    return utterances, left_out


def prepare_utterance(recording: Recording, job: Job) -> Utterance:
    """One utterance, of a whole number of frames, as the job says.

    Raises:
      DataError: it cannot be read or aligned, or is silent, clipped or noisy.
    """
    recorded, rate = decode(recording.place.read(), recording.place.path)
    check_recording(recorded, rate)
    samples = resample(around_zero(recorded), rate, wanted := job.sample_rate)
    frames = told_frames(samples, wanted, recording.text, job.lexicon, phones=recording.phones)
    framed = samples[: len(frames.phones) * hop_of(wanted)]
    check_emphasised(framed, job.pre_emphasis)
    codes = encode(framed, job.pre_emphasis)
    return Utterance(recording.utterance, codes, frames)


def told_frames(
    samples: np.ndarray,
    sample_rate: int,
    text: str,
    lexicon: Lexicon,
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


def _told(speaker: Speaker) -> tuple[Prepared, Sounds]:
    count, samples = len(speaker.utterances), sum(len(u.codes) for u in speaker.utterances)
    left_out = [tuple(pair) for pair in speaker.about["left_out"]]
    seconds = samples / speaker.sample_rate
    return Prepared(speaker.name, speaker.split, count, seconds, left_out), sounds_of(speaker)
