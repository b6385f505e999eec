"""From a folder of recordings to adapters, and from a recording to sound in such a voice."""

from __future__ import annotations

import importlib.util
import json
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from meta_shrink import AdaptOptions, Backbone, DataError, UsageError, adapt_tasks
from meta_shrink.adapters.index import read_index
from meta_shrink.adapters.recipe import TARGET_WEIGHTS
from meta_shrink.backbones.voices import Voices
from meta_shrink.enrolment.speaking import check_out, features_of, write_wav
from meta_shrink.enrolment.voices import RecordedVoices, enrolled_rows, voice_tasks
from meta_shrink.reporting.spectrogram import levels
from meta_shrink.speech import prepare
from meta_shrink.speech.features import FEATURES, NUMBERS, PHONES
from meta_shrink.speech.prepare import prepare_speech
from meta_shrink.speech.signal import mu_law_decode
from meta_shrink.tasks.example_arrays import HELDOUT
from tests.speech.exported import HOP, PRE_EMPHASIS
from tests.system.test_programs import run
from tests.tiny_runs import NO_LOG

PARTS = ("", HELDOUT)

# Found, not imported: pyworld is imported in a way of our own.
if not all(importlib.util.find_spec(name) for name in ("pocketsphinx", "pyworld")):
    pytest.skip("needs the extra speech", allow_module_level=True)


def test_the_tasks_of_recordings_are_those_of_the_prepared_corpus(recordings, backbone, tmp_path):
    info = Backbone.load(backbone).info
    prepare_speech(recordings, str(tmp_path), pre_emphasis=PRE_EMPHASIS, **NO_LOG)
    tasks = voice_tasks(RecordedVoices(recordings, info, **NO_LOG), info, heldout=1)
    assert len(tasks) == 2
    for name, task in tasks.items():
        train, heldout, _, _ = task.read()
        assert heldout
        arrays = train.arrays | {HELDOUT + key: value for key, value in heldout.arrays.items()}
        with np.load(tmp_path / f"{name}.npz") as prepared:
            frames, codes = prepared["frames"], prepared["codes"]
        parts = [(arrays[f"{part}targets"], arrays[part + TARGET_WEIGHTS]) for part in PARTS]
        # Every sample of the three recordings is scored once, here or there.
        assert sum(weights.sum() for _, weights in parts) == frames.sum() * HOP == len(codes)
        scored = np.concatenate([targets[weights > 0] for targets, weights in parts])
        np.testing.assert_array_equal(np.sort(scored), np.sort(codes))


@pytest.mark.programs
def test_speakers_are_enrolled_and_speak(recordings, backbone, tmp_path):
    """By the programs, in two processes; a second enrolment in one finds all that is done."""
    arguments = [f"--backbone={backbone}", f"--from={recordings}", f"--out={tmp_path}/adapters"]
    arguments += ["--num_heldout=1", "--consent=of the speakers"]
    out = run("enroll", *arguments, "--processes=2").stdout
    index = json.loads((tmp_path / "adapters" / "index.json").read_text())
    assert len(index) == 2 and all(name in out and index[name] in out for name in index)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "adapters").glob("*.safe*")}
    run("enroll", *arguments)
    assert files == {path: path.stat().st_mtime_ns for path in files} and len(files) == 2
    speaker = min(index)
    like = min((Path(recordings) / speaker).glob("*.wav"))
    arguments = [f"--backbone={backbone}", f"--like={like}", f"--out={tmp_path}/spoken.wav"]
    adapter = f"--adapter={tmp_path}/adapters/{index[speaker]}.safetensors"
    run("synthesize", *arguments, adapter)
    with wave.open(str(tmp_path / "spoken.wav")) as spoken, wave.open(str(like)) as heard:
        assert spoken.getframerate() == 16_000
        assert spoken.getnframes() == heard.getnframes() // HOP * HOP
        samples = np.frombuffer(spoken.readframes(spoken.getnframes()), "<i2")
    # Each is a level of mu-law more than half of the one before it.
    levels = np.round(mu_law_decode(np.arange(256)) * 32767)
    rises = samples[1:] - PRE_EMPHASIS * samples[:-1]
    whole = np.abs(samples) < 32767  # Not cut off.
    whole = whole[1:] & whole[:-1]
    assert np.abs(rises[whole, np.newaxis] - levels).min(axis=1).max() <= 2
    assert whole.sum() > 1000
    assert (tmp_path / "spoken.png").read_bytes().startswith(b"\x89PNG")
    for empty in ("--adapter=", "--like="):
        assert f"{empty} is empty" in run("synthesize", *arguments, empty, code=2).stderr
    wordless = [arguments[0], f"--like={tmp_path}/spoken.wav", f"--out={tmp_path}/no.wav"]
    assert "give --text" in run("synthesize", *wordless, code=2).stderr


def test_silence_and_noise_say_nothing(backbone, tmp_path):
    """Pocketsphinx finds a way through both."""
    info, path = Backbone.load(backbone).info, str(tmp_path / "like.wav")
    noise = 0.1 * np.random.default_rng(0).normal(size=32_000).astype(np.float32)
    for samples, sentence in ((noise * 0, "nearly silent"), (noise, "too noisy")):
        write_wav(path, samples, 16_000)
        with pytest.raises(DataError, match=sentence):
            features_of(path, "hello there", info)


@pytest.mark.parametrize("number", [10.5, -1e30, np.nan])
def test_features_that_no_recording_has_are_refused(backbone, number):
    features = np.zeros([3, FEATURES], np.float32)
    features[1, -1] = number
    with pytest.raises(UsageError, match="as features_of makes them, at most 10"):
        next(Voices(Backbone.load(backbone)).pieces(features))


def test_a_shift_moves_the_pitch_and_nothing_else(recordings, backbone):
    info = Backbone.load(backbone).info
    voiced, log_f0 = (3 * len(PHONES) + NUMBERS.index(name) for name in ("voiced", "log_f0"))
    path = min(map(str, Path(recordings).glob("*/*.wav")))
    plain, higher = (features_of(path, "", info, shift=shift) for shift in (0.0, 12.0))
    spoken = plain[:, voiced] > 0
    np.testing.assert_allclose((higher - plain)[spoken, log_f0], np.log(2), atol=1e-6)
    rest = np.delete(higher - plain, log_f0, axis=1)
    assert not rest.any() and not (higher - plain)[~spoken].any()
    with pytest.raises(UsageError, match="expected -24 to 24"):
        features_of(path, "", info, shift=float("nan"))
    with pytest.raises(DataError, match="no English word"):
        features_of(path, "4 apples", info)


def test_one_with_too_little_speech_is_left_out_and_the_others_enrol(
    recordings, backbone, tmp_path, monkeypatch, capsys
):
    """Its recordings come later; then it alone is heard, and adapted, by the same call."""
    loaded, source, (poor, good) = (
        Backbone.load(backbone),
        tmp_path / "new",
        sorted(path.name for path in Path(recordings).iterdir()),
    )
    shutil.copytree(recordings, source)
    for path in sorted((source / poor).glob("*.wav")):
        path.rename(path.with_suffix(".later"))
    (source / poor / "noise.wav").write_bytes(b"no sound")
    (source / poor / "noise.txt").write_text("nothing")
    heard, decoded = [], prepare.decode
    monkeypatch.setattr(prepare, "decode", lambda *a: (heard.append(a[1]), decoded(*a))[1])

    def enrol():
        heard.clear()
        tasks = voice_tasks(RecordedVoices(str(source), loaded.info), loaded.info)
        return adapt_tasks(loaded, tasks, str(tmp_path / "out"), AdaptOptions(steps=1))

    with pytest.raises(DataError, match=rf"1 of 2 were left out, .*: {poor}: 0\.0 s of voiced"):
        enrol()
    assert f"left out: {poor}/noise: " in capsys.readouterr().out
    first = read_index(str(tmp_path / "out"))
    assert list(first) == [good] and len(heard) == 4
    (source / poor / "noise.wav").unlink()
    for path in (source / poor).glob("*.later"):
        path.rename(path.with_suffix(".wav"))
    assert sorted(enrol()) == sorted([poor, good])
    assert len(heard) == 3 and all(f"/{poor}/" in path for path in heard)
    assert read_index(str(tmp_path / "out"))[good] == first[good]
    enrol()
    assert not heard


@pytest.mark.parametrize("steps", [[0, 1, 2, 12], [0, 5, 10, 100], [0, 250, 1000], [7], []])
def test_the_table_shows_the_metric_before_and_after_also_of_a_file(steps):
    """tasks.json has its keys in the order of text: 0, 1, 12, 2."""
    curve = {str(step): 9.0 - step / 1000 for step in steps}
    entry = {"adapter": "a", "bytes": 1234, "steps": 12, "metric": curve}
    kept = json.loads(json.dumps({"ann": entry}, sort_keys=True))
    shown = f"{9 - steps[0] / 1000:.3f} -> {9 - steps[-1] / 1000:.3f}" if steps else "-"
    assert enrolled_rows(kept) == [["ann", "a", "1,234", 12, shown]]


def test_where_sound_goes_is_looked_at_before_it_is_spoken(tmp_path):
    (tmp_path / "like.wav").write_text("mine")
    (tmp_path / "link.wav").symlink_to(tmp_path / "like.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "photo.png").write_text("mine too")
    (tmp_path / "drawn.wav").write_text("spoken before")
    (tmp_path / "drawn.png").write_text("its picture")
    refused = {
        "spoken.png": "call it NAME.wav",
        "spoken": "call it NAME.wav",
        "like.wav": "is the recording --like itself",
        "link.wav": "is the recording --like itself",
        "folder.wav": "Is a directory",
        "missing/spoken.wav": "No such file or directory",
        "photo.wav": "would replace .*photo.png",
    }
    for name, sentence in refused.items():
        with pytest.raises(UsageError, match=sentence):
            check_out(str(tmp_path / name), str(tmp_path / "like.wav"))
    check_out(str(tmp_path / "spoken.WAV"), str(tmp_path / "like.wav"))
    check_out(str(tmp_path / "drawn.wav"), str(tmp_path / "like.wav"))
    assert len(list(tmp_path.iterdir())) == 6 and (tmp_path / "like.wav").read_text() == "mine"


def test_what_needs_no_recording_is_refused_before_they_are_heard(tmp_path, backbone, monkeypatch):
    arguments = ["--backbone=none", "--from=none", f"--out={tmp_path}/adapters"]
    said = run("enroll", *arguments, "--early_stop=1", code=2).stderr
    assert "--early_stop needs --num_heldout" in said
    (tmp_path / "Zoë").mkdir()
    for name, content in {"a.wav": "no sound", "a.txt": "one"}.items():
        (tmp_path / "Zoë" / name).write_text(content)
    monkeypatch.setattr(prepare, "decode", lambda *_: pytest.fail("it was heard"))
    with pytest.raises(DataError, match="'Zoë' needs another name"):
        RecordedVoices(str(tmp_path), Backbone.load(backbone).info, **NO_LOG)


def test_the_spectrogram_of_a_tone_is_a_line():
    rate, frequency = 16_000, 1_000
    samples = np.sin(2 * np.pi * frequency * np.arange(rate) / rate)
    found = levels(samples, rate)
    assert found.shape == (201, 200) and found.max() == 0
    np.testing.assert_array_equal(found[:, 10:190].argmax(0), frequency / (rate / 400))


def test_one_name_that_no_adapter_can_have_leaves_the_others(backbone, tmp_path):
    for name in ("Zoë", "ann"):
        (tmp_path / name).mkdir()
        write_wav(str(tmp_path / name / "a.wav"), np.zeros(100, np.float32), 16_000)
        (tmp_path / name / "a.txt").write_text("one")
    voices = RecordedVoices(str(tmp_path), Backbone.load(backbone).info, **NO_LOG)
    assert list(voices.speakers) == ["ann"]
    assert list(voices.left_out) == ["Zoë"] and "The speaker 'Zoë'" in voices.left_out["Zoë"]
