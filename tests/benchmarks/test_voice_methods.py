"""Sentences in the voices of several methods: one noise for all, nothing spoken twice."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import soundfile

from benchmarks import voice_methods
from meta_shrink import AdaptOptions, Backbone, adapt_tasks
from meta_shrink.experiments.export import write_tasks
from meta_shrink.speech.features import FEATURES
from tests.speech.exported import exported_voices
from tests.tiny_runs import NO_LOG


@pytest.mark.programs
def test_every_method_says_every_sentence_once(tmp_path, tmp_path_factory, monkeypatch, capsys):
    workdir, folder = exported_voices(tmp_path_factory)
    backbone, tasks, adapters = Backbone.load(folder), tmp_path / "tasks", tmp_path / "adapters"
    write_tasks(workdir, str(tasks), count=1, **NO_LOG)
    adapt_tasks(backbone, str(tasks), str(adapters), AdaptOptions(steps=50), **NO_LOG)
    (speaker,) = [path.stem for path in tasks.glob("*.npz")]
    like = tmp_path / "like" / speaker
    like.mkdir(parents=True)
    for name in ("one.flac", "two.flac", "one.txt"):
        (like / name).touch()
    features = np.random.default_rng(0).normal(size=[30, FEATURES]).astype(np.float32)
    monkeypatch.setattr(voice_methods, "features_of", lambda path, text, info: features)
    monkeypatch.setattr(voice_methods, "set_cpu_threads", lambda **_: None)
    command = ["voice_methods", f"--like={tmp_path / 'like'}", f"--out={tmp_path / 'out'}"]
    command += [f"--voices=own={folder},{adapters}", f"--voices=shared={folder},-"]
    monkeypatch.setattr(sys, "argv", command)
    voice_methods.main()
    said = {
        path.relative_to(tmp_path / "out").as_posix(): soundfile.read(path)
        for path in (tmp_path / "out").rglob("*.wav")
    }
    names = [f"{who}/{speaker}/{what}.wav" for who in ("own", "shared") for what in ("one", "two")]
    assert sorted(said) == sorted(names)
    assert {rate for _, rate in said.values()} == {16_000}
    own, shared = (said[f"{who}/{speaker}/one.wav"][0] for who in ("own", "shared"))
    assert len(own) == len(shared) == 30 * 80 and (own != shared).any()
    np.testing.assert_array_equal(own, said[f"own/{speaker}/two.wav"][0])  # The same noise.
    capsys.readouterr()
    voice_methods.main()
    assert ".wav" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["a", "a=b", "=b,c", "a=b,", "a=,c"])
def test_half_a_voice_is_refused(text):
    with pytest.raises(Exception, match="is not NAME=BACKBONE,ADAPTERS"):
        voice_methods.voices(text)
