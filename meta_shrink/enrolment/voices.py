"""Recordings of new speakers as the tasks of a backbone: from sound files to adapters.

Nothing of a recording is kept but in the adapters themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.canonical_json import canonical, sha256
from meta_shrink.adapters.recipe import TARGET_WEIGHTS, TARGETS
from meta_shrink.backbones.voices import recordings_of
from meta_shrink.enrolment.adapt_tasks import UnreadTask, check_task_names, mean_curve
from meta_shrink.enrolment.task_files import TaskFiles, given_tasks
from meta_shrink.errors import DataError, one_line
from meta_shrink.images.classes import hash_order
from meta_shrink.pitch import FRAMES_PER_SECOND
from meta_shrink.speech.corpus import Utterance
from meta_shrink.speech.crops import Utterances, Window, all_pieces, rows_of
from meta_shrink.speech.features import NUMBERS
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.prepare import heard
from meta_shrink.speech.recordings import Recording
from meta_shrink.speech.same_sounds import each_sound_once
from meta_shrink.speech.signal import hop_of
from meta_shrink.speech.speaker_files import Job, settings_of
from meta_shrink.tasks.example_arrays import HELDOUT, Arrays
from meta_shrink.tasks.prosody import phone_arrays

LEAST_VOICED_SECONDS = 2.0
_VOICED = NUMBERS.index("voiced")


class RecordedVoices:
    """Speakers of a folder or a tar of recordings with their texts, heard when they are asked for.

    speakers: {name: their recordings}. A recording that cannot be read or aligned, or that is
    silent, clipped or noisy (speech.quality), is named and left out. left_out: {name: why} of
    speakers whose names no adapter can have.
    """

    def __init__(
        self,
        source: str,
        info: BackboneInfo,
        *,
        keep: bool = False,
        log: Callable[[str], Any] = print,
    ) -> None:
        """List them.

        Args:
          source: of find_recordings.
          info: of the backbone of voices that will adapt them.
          keep: what was heard, for another backbone; a minute of speech takes a megabyte.

        Raises:
          DataError: nothing to read, or no speaker whose name an adapter can have.
          UsageError: a backbone of something else.
        """
        told, corpus = recordings_of(info), find_recordings(source, log=log)
        self._keep = keep
        self.left_out: dict[str, str] = {}
        self._job = Job("", [], told.sample_rate, corpus.lexicon, told.pre_emphasis)
        self._log = log
        self.speakers: dict[str, list[Recording]] = {}
        for recording in corpus.recordings:
            self.speakers.setdefault(recording.speaker, []).append(recording)
        for name in list(self.speakers):
            try:
                check_task_names([name])
            except DataError as error:
                self.left_out[name] = str(error).replace("task", "speaker")
                del self.speakers[name]
        if not self.speakers:
            raise DataError(next(iter(self.left_out.values())))
        self._heard: dict[str, list[Utterance]] = {}

    def settings(self, speaker: str) -> str:
        """A hash of what decides their utterances; of sound, the size and time of its file."""
        return settings_of(self._job_of(speaker))

    def _job_of(self, speaker: str) -> Job:
        return self._job._replace(recordings=self.speakers[speaker])

    def utterances(self, speaker: str) -> list[Utterance]:
        """Hear all of their recordings, a second each."""
        if (own := self._heard.get(speaker)) is None:
            prepared, left_out = heard(self._job_of(speaker))
            own, copies = each_sound_once(prepared)
            for name, why in left_out + copies:
                self._log(one_line(f"left out: {speaker}/{name}: {why}"))
            if self._keep:
                self._heard[speaker] = own
        return own


def voice_tasks(
    voices: RecordedVoices, info: BackboneInfo, *, heldout: int = 0
) -> dict[str, UnreadTask]:
    """{speaker: their task} of a backbone of voices; reading it raises DataError for too little
    speech.

    Args:
      info: of the backbone that will adapt them.
      heldout: utterances of each speaker, the first by hash, kept for the held-out metric.

    Raises:
      UsageError: a backbone of something else.
    """
    told = recordings_of(info)
    new = told.speaker
    window = Window(told.frames, told.context, hop_of(told.sample_rate), told=new is not None)
    inputs = [spec.name for spec in info.inputs]
    return _tasks(voices, info, heldout, lambda own: _arrays(own, window, inputs, new or 0))


def prosody_tasks(
    voices: RecordedVoices, info: BackboneInfo, *, heldout: int = 0
) -> dict[str, UnreadTask]:
    """As voice_tasks, of a backbone of prosody; the same utterances are held out."""
    return _tasks(voices, info, heldout, phone_arrays)


def enrolled_rows(tasks: Mapping[str, Mapping[str, Any]]) -> list[list[Any]]:
    """(speaker, adapter, bytes, steps, metric before and after) of the entries of adapt_tasks."""
    rows = []
    for name, entry in tasks.items():
        curve = mean_curve({name: entry})  # By number: as text, step 12 comes before step 2.
        shown = f"{curve[0][1]:.3f} -> {curve[-1][1]:.3f}" if curve else "-"
        rows.append([name, entry["adapter"], f"{entry['bytes']:,}", entry["steps"], shown])
    return rows


def _tasks(
    voices: RecordedVoices,
    info: BackboneInfo,
    heldout: int,
    arrays: Callable[[Sequence[Utterance]], Arrays],
) -> dict[str, UnreadTask]:
    def read(speaker: str) -> TaskFiles:
        utterances = voices.utterances(speaker)
        order = hash_order({u.name: u for u in utterances}, f"enrol/{speaker}")
        kept = [u for u in utterances if u.name in order[heldout:]]
        apart = [u for u in utterances if u.name in order[:heldout]]
        _check_length(kept)
        held = arrays(apart) if apart else {}
        task = arrays(kept) | {f"{HELDOUT}{name}": x for name, x in held.items()}
        return given_tasks({speaker: task}, info)[speaker]

    return {
        speaker: UnreadTask(
            sha256(canonical([voices.settings(speaker), heldout])), partial(read, speaker)
        )
        for speaker in voices.speakers
    }


def _check_length(utterances: Sequence[Utterance]) -> None:
    frames = sum(float(u.features.numbers[:, _VOICED].sum()) for u in utterances)
    if (voiced := frames / FRAMES_PER_SECOND) < LEAST_VOICED_SECONDS:
        raise DataError(
            f"{voiced:.1f} s of voiced speech in {len(utterances)} recordings; expected "
            f"{LEAST_VOICED_SECONDS:g} s or more: give longer or better ones, or hold fewer out."
        )


def _arrays(
    utterances: Sequence[Utterance], window: Window, names: Sequence[str], speaker: int
) -> Arrays:
    own = Utterances(*(x[0] for x in rows_of([utterances], window, [speaker])))
    inputs, codes, weights = all_pieces(own, window)
    arrays = {name: np.asarray(value) for name, value in zip(names, inputs, strict=True)}
    return {**arrays, TARGETS: np.asarray(codes), TARGET_WEIGHTS: np.asarray(weights)}
