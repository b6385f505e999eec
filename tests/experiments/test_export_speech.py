"""A backbone of voices: what is not scored in training is not scored when a voice is enrolled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import (
    AdaptOptions,
    Backbone,
    DataError,
    UsageError,
    adapt_tasks,
    restore,
)
from meta_shrink.adapters.recipe import TARGET_WEIGHTS
from meta_shrink.backbones.voices import Voices
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.experiments.export import export_backbone, heldout_tasks, write_tasks
from meta_shrink.speech.features import FEATURES
from tests.speech.exported import CONTEXT, FRAMES, HOP, PRE_EMPHASIS, RATE, SAMPLES, exported_voices
from tests.tiny_runs import NO_LOG

pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(workdir, backbone, experiment, phi) of voices after one meta-step."""
    workdir, folder = exported_voices(tmp_path_factory)
    experiment, meta, _ = restore(workdir, **NO_LOG)
    return workdir, Backbone.load(folder), experiment, meta.phi


def test_the_recipe_tells_of_labels_and_their_weights(run):
    _, backbone, *_ = run
    told = [(s.name, s.shape, s.dtype) for s in backbone.info.adaptation.targets]
    assert told == [("targets", (SAMPLES,), "int32"), (TARGET_WEIGHTS, (SAMPLES,), "float32")]
    assert backbone.info.metrics["name"] == "bits per sample"


def test_a_step_of_enrolment_is_a_step_on_the_scored_samples(run):
    """Algorithm 2 from phi: phi - rate * (gradient of the weighted mean) / (1 + rate / sigma^2)."""
    _, backbone, experiment, phi = run
    ((voice, heldout),) = heldout_tasks(experiment, 1)
    weights = voice.named_targets[TARGET_WEIGHTS]
    # Utterances of 20, 33 and 12 frames, one of them to validate on: each frame is scored once.
    assert weights.sum() + heldout.named_targets[TARGET_WEIGHTS].sum() >= (20 + 12) * HOP
    np.testing.assert_array_equal(weights[:, : CONTEXT * HOP], 0)
    adaptation = TaskAdaptation(backbone)
    adaptation.batch_size = 0
    adapted = adaptation(voice, heldout, steps=1)
    batch = (
        tuple(tf.constant(voice.inputs[spec.name]) for spec in backbone.info.inputs),
        tf.constant(voice.named_targets["targets"]),
        tf.constant(weights),
    )
    with tf.GradientTape() as tape:
        tape.watch(phi)
        loss = experiment.nll(phi, batch)
    gradients = dict(zip(experiment.registry.paths, tape.gradient(loss, phi), strict=True))
    sigma2 = {module.name: module.sigma2 for module in backbone.info.modules}
    for name, value in adapted.tensors.items():
        shrunk = RATE / (1 + RATE / sigma2[name.rpartition("/")[0]])
        moved = value - backbone.default.tensors[name]
        gradient = tf.convert_to_tensor(gradients[name]).numpy()
        np.testing.assert_allclose(moved, -shrunk * gradient, rtol=1e-3, atol=1e-7)
        assert np.abs(moved).max() > 1e-5


def test_files_of_a_voice_are_enrolled_with_the_metric_of_the_evaluation(run, tmp_path):
    workdir, backbone, *_ = run
    (path,) = write_tasks(workdir, str(tmp_path / "tasks"), count=1, **NO_LOG)
    with np.load(path) as file:
        arrays = dict(file)
    # Where nothing is scored stands something else.
    scored, codes = arrays[f"heldout_{TARGET_WEIGHTS}"], np.bincount(arrays["targets"].ravel())
    arrays["heldout_targets"] = np.where(scored > 0, codes.argmax(), codes.argmin())
    options = AdaptOptions(steps=40)
    rows = adapt_tasks(backbone, {"one": arrays}, str(tmp_path / "out"), options, **NO_LOG)
    adapter = backbone.load_adapter(str(tmp_path / "out" / f"{rows['one']['adapter']}.safetensors"))
    inputs = {spec.name: arrays[f"heldout_{spec.name}"] for spec in backbone.info.inputs}
    logits, targets = backbone.predict(inputs, adapter)["outputs"], arrays["heldout_targets"]
    bits = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits).numpy() / np.log(2)
    expected = (bits * scored).sum() / scored.sum()
    assert rows["one"]["metric"]["40"] == pytest.approx(expected, rel=1e-5)
    assert abs(bits.mean() - expected) > 1e-3


def test_there_are_no_more_tasks_than_held_out_speakers(run, tmp_path):
    workdir, *_ = run  # It has one.
    assert len(write_tasks(workdir, str(tmp_path / "tasks"), **NO_LOG)) == 1
    (tmp_path / "tasks" / "task_0001.npz").write_text("of another run")
    with pytest.raises(UsageError, match=r"holds 1 other task\(s\), .*: task_0001\.npz; choose"):
        write_tasks(workdir, str(tmp_path / "tasks"), **NO_LOG)
    for write, asked in ((write_tasks, {"count": 2}), (export_backbone, {"num_tasks": 2})):
        sentence = f"{min(asked)} asks for 2 tasks, but there are 1 test tasks"
        with pytest.raises(UsageError, match=sentence):
            write(workdir, str(tmp_path / "none"), **asked, **NO_LOG)
    assert not (tmp_path / "none").exists()


def test_a_voice_without_weights_is_refused(run):
    _, backbone, experiment, _ = run
    ((voice, _),) = heldout_tasks(experiment, 1)
    arrays = dict(voice.arrays)
    weights = arrays.pop(TARGET_WEIGHTS)
    with pytest.raises(DataError, match="expected codes, features, targets, targets_weights"):
        adapt_tasks(backbone, {"one": arrays}, "unused", **NO_LOG)
    for wrong in (-weights, np.zeros_like(weights)):
        with pytest.raises(DataError, match="targets_weights has a number below 0, or an example"):
            adapt_tasks(backbone, {"one": arrays | {TARGET_WEIGHTS: wrong}}, "unused", **NO_LOG)


def test_each_row_speaks_with_its_own_adapter(run, tmp_path):
    """Without chance, each sample is the likeliest one after those before it, by the network."""
    workdir, backbone, experiment, _ = run
    write_tasks(workdir, str(tmp_path / "tasks"), count=1, **NO_LOG)
    options = AdaptOptions(steps=20)
    rows = adapt_tasks(backbone, str(tmp_path / "tasks"), str(tmp_path / "out"), options, **NO_LOG)
    path = tmp_path / "out" / f"{rows['task_0000']['adapter']}.safetensors"
    adapters = [backbone.default, backbone.load_adapter(str(path))]
    ((voice, _),) = heldout_tasks(experiment, 1)
    told = np.repeat(voice.inputs["features"][:1, CONTEXT:], 2, axis=0)
    voices = Voices(backbone)
    told_so = (16_000, FRAMES, CONTEXT, 1, None, PRE_EMPHASIS)
    assert voices.hop == HOP and voices.recordings == told_so
    pieces = [*voices.speak(told, adapters, temperature=0, piece_frames=4)]
    assert [piece.shape for piece in pieces] == [(2, 2 * HOP), (2, 4 * HOP)]
    spoken = np.concatenate([np.full([2, CONTEXT * HOP], 128), *pieces], axis=1).astype(np.int32)
    silence = np.zeros([2, CONTEXT, FEATURES], np.float32)
    silence[:, :, [0, 40, 80]] = 1  # SIL before, now and after.
    inputs = {
        "codes": np.pad(spoken[:, :-1], [[0, 0], [1, 0]], constant_values=128),
        "features": np.concatenate([silence, told], axis=1),
    }
    for row, adapter in enumerate(adapters):
        logits = backbone.predict(inputs, adapter)["outputs"][row, CONTEXT * HOP :]
        own = np.take_along_axis(logits, spoken[row, CONTEXT * HOP :, np.newaxis], axis=1)[:, 0]
        np.testing.assert_allclose(own, logits.max(axis=1), atol=1e-4)
    chance = next(voices.speak(told, adapters, seed=1, piece_frames=4))
    assert chance.dtype == np.uint8 and len(np.unique(chance)) > 80
    wrong_numbers: list[dict[str, Any]] = [
        {"temperature": -1.0},
        {"temperature": np.nan},
        {"piece_frames": 0},
    ]
    for wrong in wrong_numbers:
        with pytest.raises(UsageError, match="expected a temperature from 0 to 10"):
            next(voices.speak(told, adapters, **wrong))
    with pytest.raises(UsageError, match="an adapter for each row"):
        next(voices.speak(told, adapters[:1]))
