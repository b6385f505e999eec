"""Harmonicity: of a tone, of noise, of another pitch; the table of a folder of sounds."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import soundfile

from benchmarks import harmonics
from benchmarks.harmonics import harmonicity
from meta_shrink.speech.corpus import read_speakers
from meta_shrink.speech.signal import mu_law_decode
from tests.speech.samples import buzz, humming, prepared_folder

RATE = 16_000


def test_a_voice_has_the_pitch_that_it_has_and_no_other():
    sound = buzz(200.0, 1.0, RATE)
    pitch = np.full([200], 200.0)
    assert harmonicity(sound, pitch, RATE) > 0.999
    assert harmonicity(sound, pitch / 1.2, RATE) < 0.7
    noise = np.random.default_rng(0).normal(size=RATE)
    assert harmonicity(noise, pitch, RATE) < 0.3
    # Half of the energy is noise: the cosine is the share of the rest.
    half = sound / np.std(sound) + noise
    assert harmonicity(half, pitch, RATE) == pytest.approx(0.5, abs=0.08)
    assert np.isnan(harmonicity(sound, 0 * pitch, RATE))
    assert harmonicity(0 * sound, pitch, RATE) == 0


def test_the_table_has_what_was_spoken_beside_what_is_real(tmp_path, monkeypatch, capsys):
    (tmp_path / "data").mkdir()
    folder = prepared_folder(tmp_path / "data", [humming(0), humming(1)])
    for speaker in read_speakers(folder):
        (tmp_path / "spoken" / speaker.name).mkdir(parents=True)
        samples = mu_law_decode(speaker.utterances[0].codes)[::-1]
        soundfile.write(tmp_path / "spoken" / speaker.name / "u0.wav", samples, RATE)
    command = ["harmonics", f"--corpus={folder}", f"--spoken=back={tmp_path / 'spoken'}"]
    command.append(f"--figure={tmp_path / 'sentence.png'}")
    monkeypatch.setattr(sys, "argv", command)
    harmonics.main()
    *_, row, real = capsys.readouterr().out.splitlines()
    assert row.startswith("| back | 2 | 2 | 0.99") or row.startswith("| back | 2 | 2 | 1.00")
    assert (tmp_path / "sentence.png").read_bytes().startswith(b"\x89PNG")
    assert real.startswith("| back, real | 2 | 2 | ")
    (tmp_path / "spoken" / "s0" / "other.wav").write_bytes(b"")
    with pytest.raises(SystemExit, match="s0/other"):
        harmonics.main()
