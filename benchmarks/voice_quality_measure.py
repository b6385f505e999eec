"""Voices of several sizes of one trained run: adapted, encoded, loaded, spoken and heard."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks.speech_curves import as_measured
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.reading import Adapter
from meta_shrink.adapters.recipe import TARGET_WEIGHTS, TARGETS
from meta_shrink.adapters.writing import write_adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.source import ExportSource
from meta_shrink.backbones.voices import Voices
from meta_shrink.backbones.writing import save_backbone
from meta_shrink.enrolment.speaking import shifted, write_wav
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.enrolment.task_files import Examples
from meta_shrink.errors import DataError
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.export import heldout_tasks
from meta_shrink.losses import LOSSES, METRICS
from meta_shrink.prior import task_specific
from meta_shrink.sections import named
from meta_shrink.speech.corpus import read_speakers
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.scores.intelligibility import text_score
from meta_shrink.speech.scores.listeners import listeners
from meta_shrink.speech.scores.log_mel import RATE
from meta_shrink.speech.scores.similarity import to_others, to_own
from meta_shrink.speech.signal import resample
from meta_shrink.tasks.speech import split_speakers, split_utterances

ROWS = 8  # Pieces that are scored in one call.
Scores = dict[str, dict[str, float]]  # By sentence and measure.


class Sentence(NamedTuple):
    """features: [F, FEATURES] of a recording. words: "" where nobody told."""

    features: np.ndarray
    words: str


class Voice(NamedTuple):
    """A held-out speaker. number: of the task. sentences: by name, of the validation utterances.
    recordings: samples at RATE of all utterances by name."""

    name: str
    number: int
    sentences: dict[str, Sentence]
    recordings: dict[str, np.ndarray]


class Size:
    """The backbone whose adapters hold the `count` modules of largest sigma^2, once exported."""

    def __init__(self, source: ExportSource, count: int, folder: str) -> None:
        self._source, self.count = source, count
        self._path = os.path.join(folder, f"top_{count}")

    @cached_property
    def backbone(self) -> Backbone:
        """Exported where it is not."""
        if not os.path.exists(self._path):
            sigma2 = np.exp(np.asarray(self._source.meta.log_sigma2, np.float64)).tolist()
            registry = self._source.registry
            chosen = task_specific(sigma2, registry, rule="top_k", value=self.count)
            save_backbone(self._source._replace(selection=chosen), self._path)
        return Backbone.load(self._path)

    @cached_property
    def adaptation(self) -> TaskAdaptation:
        """What adapts with it."""
        return TaskAdaptation(self.backbone)


def voices(
    experiment: Experiment, chosen: Sequence[int], sentences: int, texts: str
) -> list[Voice]:
    """The held-out speakers of these numbers.

    Args:
      sentences: how many validation utterances of each are spoken.
      texts: folder or tar of the recordings with their texts; "": there are none.
    """
    task = experiment.config["task"]
    split = task.get("split", "0")
    speakers = read_speakers(task["data_dir"])
    _, held_out = split_speakers(speakers, task.get("heldout_speakers", 10), split)
    corpus = find_recordings(texts).recordings if texts else []
    words = {(one.speaker, one.utterance): one.text for one in corpus}
    found = []
    for number in chosen:
        own = held_out[number]
        _, validation = split_utterances(own, task.get("validation_share", 0.2), split)
        spoken = {
            u.name: Sentence(shifted(u.features, 0.0), words.get((own.name, u.name), ""))
            for u in validation[:sentences]
        }
        heard = {u.name: resample(own.sound(u), own.sample_rate, RATE) for u in own.utterances}
        found.append(Voice(own.name, number, spoken, heard))
    return found


def tasks_of(
    experiment: Experiment, share: float, found: Sequence[Voice]
) -> Iterator[tuple[Voice, Examples, Examples]]:
    """(voice, what it adapts on, all of its validation pieces), one after another."""
    by_number = {voice.number: voice for voice in found}
    tasks = heldout_tasks(as_measured(experiment, share), max(by_number) + 1)
    for number, (train, heldout) in enumerate(tasks):
        if number in by_number:
            yield by_number[number], train, heldout


class Hearing:
    """Scores sound by the functions of launch.score_speech."""

    def __init__(self, found: Sequence[Voice], corpus: str, verifier: str, texts: str) -> None:
        """corpus: prepared speech that our verifier is trained on, unless it is in `verifier`."""
        lexicon = find_recordings(texts).lexicon if texts else {}
        names = {voice.name: {} for voice in found}
        self._listeners, self.about = listeners(names, lexicon, "own", corpus, verifier)
        self._real = {voice.name: self._embedded(voice.recordings) for voice in found}

    def _embedded(self, sounds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(sounds, self._listeners.embed(list(sounds.values())), strict=True))

    def scores(self, voice: Voice, sounds: Mapping[str, np.ndarray]) -> Scores:
        """Of sentences of a voice. What is too quiet to be heard is like nobody: 0."""
        found: Scores = {}
        for name, samples in sounds.items():
            try:
                vectors = {voice.name: self._embedded({name: samples})}
                similarity = to_own(vectors, self._real)[voice.name][name]
            except DataError:
                similarity = 0.0
            found[name] = {"similarity": similarity}
            if self._listeners.opinion is not None:
                found[name]["naturalness"] = self._listeners.opinion(samples)
            if words := voice.sentences[name].words:
                score = text_score(samples, RATE, words, self._listeners.lexicon)
                found[name]["intelligibility"] = score
        return found

    def others(self, voice: Voice) -> Scores:
        """Similarity of the real sentences to the mean of each other speaker, their mean."""
        to_each = to_others(self._real)[voice.name]
        found: Scores = {}
        for name in voice.sentences:
            own = [value for key, value in to_each.items() if key.startswith(f"{name}/")]
            found[name] = {"similarity": float(np.mean(own))}
        return found


def real_sentences(voice: Voice) -> dict[str, np.ndarray]:
    """The recordings of what is spoken."""
    return {name: voice.recordings[name] for name in voice.sentences}


def said(size: Size, adapter: Adapter, voice: Voice, temperature: float) -> dict[str, np.ndarray]:
    """Samples at RATE of each sentence by the adapter, all with the same noise."""
    speaker, found = Voices(size.backbone), {}
    for name, sentence in voice.sentences.items():
        pieces = speaker.speak(sentence.features[np.newaxis], [adapter], temperature=temperature)
        codes = np.concatenate([piece[0] for piece in pieces])
        found[name] = resample(speaker.decoder()(codes), speaker.recordings.sample_rate, RATE)
    return found


def keep(folder: str, sounds: Mapping[str, np.ndarray]) -> None:
    """As files to listen to."""
    os.makedirs(folder, exist_ok=True)
    for name, samples in sounds.items():
        write_wav(os.path.join(folder, f"{name}.wav"), samples, RATE)


def adapted(
    size: Size, train: Examples, number: int, steps: int
) -> tuple[dict[str, np.ndarray], float]:
    """(adapter tensors, processor seconds of a step without the first one, which traces)."""
    marks: list[tuple[int, float]] = []
    found = size.adaptation(
        train,
        steps=steps,
        seed=number,
        told=lambda step: marks.append((step, time.process_time())),
    )
    (first, start), (last, end) = marks[0], marks[-1]
    return found.tensors, (end - start) / max(last - first, 1)


def sealed(
    size: Size, tensors: Mapping[str, np.ndarray], task: TaskFacts, encoding: str, folder: str
) -> Adapter:
    """The adapter as a server gets it: a file, read again with all checks."""
    os.makedirs(folder, exist_ok=True)
    content = size.backbone.seal(tensors, task, encoding=encoding)
    return size.backbone.load_adapter(write_adapter(content, folder))


def bits(size: Size, adapter: Adapter, heldout: Examples) -> float:
    """Per scored sample of all pieces, by what is served."""
    recipe = size.backbone.info.adaptation
    metric: Any = METRICS[recipe.metric].example(named("loss", LOSSES, recipe.loss))
    targets, total, count = heldout.named_targets, 0.0, 0.0
    for first in range(0, heldout.count, ROWS):
        rows = slice(first, first + ROWS)
        inputs = {name: value[rows] for name, value in heldout.inputs.items()}
        outputs = size.backbone.predict(inputs, adapter)["outputs"]
        weights = targets[TARGET_WEIGHTS][rows]
        values = metric(tf.constant(targets[TARGETS][rows]), tf.constant(outputs)).numpy()
        total, count = total + float((values * weights).sum()), count + float(weights.sum())
    return total / count
