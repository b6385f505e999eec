"""A network of many voices (SEA) enrols and speaks as the new speaker, by the number behind those
that it was trained on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import Backbone
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.writing import write_adapter
from meta_shrink.backbones.voices import Voices
from meta_shrink.enrolment import voices as voices_module
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.enrolment.voices import voice_tasks
from meta_shrink.experiments.export import heldout_tasks
from meta_shrink.experiments.restore import restore
from meta_shrink.speech.corpus import Speaker, read_speakers
from meta_shrink.speech.features import FEATURES
from meta_shrink.speech.signal import SILENT_CODE
from tests.speech.exported import CONTEXT, HOP, exported_many
from tests.tiny_runs import NO_LOG

pytestmark = pytest.mark.programs

NEW = 2  # behind the training speakers 0 and 1


@pytest.fixture(autouse=True)
def _short_recordings(monkeypatch):
    monkeypatch.setattr(voices_module, "LEAST_VOICED_SECONDS", 0.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir, folder = exported_many(tmp_path_factory)
    return restore(workdir, **NO_LOG)[0], Backbone.load(folder)


def heard(speaker: Speaker) -> Any:
    """As voices.RecordedVoices, of one speaker whose recordings were heard already."""
    return SimpleNamespace(
        speakers=["new"], settings=lambda name: "", utterances=lambda name: speaker.utterances
    )


def test_recordings_become_the_task_of_the_new_speaker(run):
    experiment, backbone = run
    assert backbone.info.adaptation.recordings["speaker"] == NEW
    ((train, _),) = heldout_tasks(experiment, 1)
    (new,) = [s for s in read_speakers(experiment.config["task"]["data_dir"]) if s.split == "test"]
    arrays = voice_tasks(heard(new), backbone.info)["new"].read().train.arrays
    np.testing.assert_array_equal(arrays["speaker_number"], NEW)
    # Those that the evaluation adapts on are among them.
    there = {row.tobytes() for row in arrays["codes"]}
    assert {row.tobytes() for row in train.inputs["codes"]} <= there


def test_the_adapted_voice_speaks_as_the_network_that_is_told_its_number(run, tmp_path):
    experiment, backbone = run
    (new,) = [s for s in read_speakers(experiment.config["task"]["data_dir"]) if s.split == "test"]
    task = voice_tasks(heard(new), backbone.info)["new"].read()
    adapted = TaskAdaptation(backbone)(task.train, None, steps=2)
    table = adapted.tensors["speaker/table"] - backbone.default.tensors["speaker/table"]
    assert np.abs(table[NEW]).max() > 0 and np.abs(table[:NEW]).max() == 0
    content = backbone.seal(adapted.tensors, TaskFacts("new", task.train.count, 2, 0))
    adapter = backbone.load_adapter(write_adapter(content, str(tmp_path)))
    frames = backbone.info.adaptation.recordings["frames"]
    features = np.random.default_rng(0).normal(size=[2, frames, FEATURES]).astype(np.float32)
    voices = Voices(backbone)
    rows = [adapter, backbone.default]
    pieces = [list(voices.pieces(f, piece_frames=CONTEXT + frames)) for f in features]
    state = {name: np.stack([x] * 2) for name, x in voices.silence().items()}
    inputs = {name: np.stack([p[0].inputs[name] for p in pieces]) for name in pieces[0][0].inputs}
    own = {name: tf.constant(x) for name, x in backbone.stacked(rows).items()}
    given = {name: tf.constant(x) for name, x in (inputs | state).items()}
    answer = backbone.signatures["speak"](**given, **own)
    codes = answer["codes"].numpy()
    before = np.pad(codes[:, :-1], [[0, 0], [1, 0]], constant_values=SILENT_CODE)
    told = {"codes": before.astype(np.int32), "features": inputs["features"]}
    told["speaker_number"] = np.full([2], NEW, np.int32)
    for row, who in enumerate(rows):
        one = {name: value[row : row + 1] for name, value in told.items()}
        logits = backbone.predict(one, who)["outputs"][0]
        scores = tf.nn.log_softmax(logits).numpy()
        expected = np.take_along_axis(scores, codes[row][:, np.newaxis], 1)[:, 0]
        np.testing.assert_allclose(answer["log_probs"][row], expected, atol=1e-4)
    assert codes.shape == (2, (CONTEXT + frames) * HOP)
