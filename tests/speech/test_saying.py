"""From a text alone to sound, and from a speaker's recordings to their own prosody."""

from __future__ import annotations

import importlib.util
import json
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meta_shrink import Backbone, UsageError
from meta_shrink.enrolment.saying import Sayer, prosody_of
from meta_shrink.enrolment.served_voices import BackboneVoices
from meta_shrink.enrolment.voices import RecordedVoices
from meta_shrink.speech.audio_files import decode, pcm, wav_header
from meta_shrink.speech.features import NUMBERS, PHONES
from meta_shrink.speech.pronunciation import text_phones
from meta_shrink.speech.prosody import network_inputs
from tests.refusals import refusals
from tests.speech.exported import HOP
from tests.system.test_programs import run

# Found, not imported: pyworld is imported in a way of our own.
if not all(importlib.util.find_spec(name) for name in ("pocketsphinx", "pyworld")):
    pytest.skip("needs the extra speech", allow_module_level=True)


@pytest.mark.programs
def test_a_text_alone_is_said(recordings, backbone, prosody, tmp_path):
    """By the programs: with a speaker's voice and prosody, and the frames that the network says."""
    source = [f"--backbone={backbone}", f"--prosody={prosody}"]
    arguments = [*source, f"--from={recordings}", "--num_heldout=1"]
    out = run("enroll", *arguments, f"--out={tmp_path}/adapters").stdout
    places = [tmp_path / "adapters", tmp_path / "adapters" / "prosody"]
    index, own = (json.loads((place / "index.json").read_text()) for place in places)
    assert index.keys() == own.keys() and all(own[name] in out for name in own)
    assert "negative log-likelihood per phone" in out
    speaker = min(index)
    files = [
        place / f"{ids[speaker]}.safetensors"
        for place, ids in zip(places, (index, own), strict=True)
    ]
    arguments = [*source, f"--adapter={files[0]}", f"--prosody_adapter={files[1]}"]
    arguments += [f"--out={tmp_path}/said.wav"]
    run("synthesize", *arguments, "--text=Good cats, don't.")
    loaded = Backbone.load(prosody)
    sayer = Sayer(loaded, Backbone.load(backbone).info)
    features = sayer.features("Good cats, don't.", loaded.load_adapter(str(files[1])))
    with wave.open(str(tmp_path / "said.wav")) as said:
        assert said.getnframes() == len(features) * HOP
    assert len(sayer.features("Good cats, don't.")) != len(features)
    # One of the two is not of this backbone.
    swapped = [*source, f"--out={tmp_path}/no.wav", "--text=good", f"--prosody_adapter={files[0]}"]
    assert "error: " in run("synthesize", *swapped, code=4).stderr
    assert not (tmp_path / "no.wav").exists()


def test_features_of_a_text_are_the_frames_of_its_phones(backbone, prosody):
    loaded = Backbone.load(prosody)
    sayer = Sayer(loaded, Backbone.load(backbone).info)
    features = sayer.features("good cats")
    phones = text_phones("good cats")
    (said,) = loaded.predict(network_inputs(phones)).values()
    heard = prosody_of(loaded.info, Backbone.load(backbone).info)
    lengths = np.clip(np.rint(np.exp(said[:, 0].astype(np.float64))), 1, heard.longest).astype(int)
    now = features[:, len(PHONES) : 2 * len(PHONES)].argmax(1)
    np.testing.assert_array_equal(now, np.repeat(phones.numbers, lengths))
    voiced, log_f0 = (3 * len(PHONES) + NUMBERS.index(name) for name in ("voiced", "log_f0"))
    spoken = features[:, voiced] > 0
    assert spoken.any() and not features[~spoken, log_f0].any()
    f0 = 150 * np.exp(features[spoken, log_f0])
    assert heard.lowest_f0 * 0.999 <= f0.min() and f0.max() <= heard.highest_f0 * 1.001
    higher = sayer.features("good cats", shift=12.0)
    np.testing.assert_allclose((higher - features)[spoken, log_f0], np.log(2), atol=1e-6)


def test_one_source_of_timing_is_asked_for(backbone, prosody, tmp_path):
    start = [f"--backbone={backbone}", f"--out={tmp_path}/no.wav"]
    words = tmp_path / "words.txt"
    words.write_text("good\n")
    refused = {
        "neither was given": ["--text=good"],
        "both were given": ["--text=good", f"--prosody={prosody}", "--like=x.wav"],
        "--text is empty": [f"--prosody={prosody}", "--text= "],
        "--prosody_adapter belongs to": ["--like=x.wav", "--prosody_adapter=x"],
        "has no word": [f"--prosody={prosody}", "--text=?!"],
        "is not of prosody": [f"--prosody={backbone}", "--text=good"],
        "--prosody= is empty": ["--prosody=", "--text=good"],
        "--lexicon= is empty": [f"--prosody={prosody}", "--text=good", "--lexicon="],
        "lexicon nowhere does not exist": [
            f"--prosody={prosody}",
            "--text=good",
            "--lexicon=nowhere",
        ],
        "no line WORD PHONE": [f"--prosody={prosody}", "--text=good", f"--lexicon={words}"],
    }
    cases = {sentence: [*start, *arguments] for sentence, arguments in refused.items()}
    cases["not of recordings"] = [
        f"--backbone={prosody}",
        f"--prosody={prosody}",
        "--text=good",
        start[1],
    ]
    found = refusals("synthesize", *cases.values())
    for sentence, (code, told) in zip(cases, found, strict=True):
        assert code in (2, 3) and sentence in told, told
    assert not (tmp_path / "no.wav").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("version", 2), ("features_version", 2), ("frames_per_second", 100), ("phones", ["SIL"])],
)
def test_prosody_of_other_phones_or_frames_is_refused(backbone, prosody, name, value):
    info, voices = Backbone.load(prosody).info, Backbone.load(backbone).info
    told = {**info.adaptation.prosody, name: value}
    changed = replace(info, adaptation=replace(info.adaptation, prosody=told))
    with pytest.raises(UsageError, match=f"another {name} than the voices of"):
        prosody_of(changed, voices)


def test_too_long_a_text_is_refused(backbone, prosody):
    sayer = Sayer(Backbone.load(prosody), Backbone.load(backbone).info)
    with pytest.raises(UsageError, match=r"takes \d+\.\d s; expected 0\.1 s at most"):
        sayer.features("good cats", max_seconds=0.1)


def test_a_server_says_texts_where_it_has_prosody(backbone, prosody):
    voices, loaded = Backbone.load(backbone), Backbone.load(prosody)
    said = {"shift": 1.0, "max_seconds": 5.0}
    with pytest.raises(UsageError, match="needs a server with --prosody"):
        BackboneVoices(voices, threads=1).say("good cats", **said)
    found = BackboneVoices(voices, threads=1, prosody=loaded).say("good cats", **said)
    expected = Sayer(loaded, voices.info).features("good cats", shift=1.0)
    np.testing.assert_array_equal(found, expected)
    lexicon = {"DOGS": text_phones_of("cats")}
    other = BackboneVoices(voices, threads=1, prosody=loaded, lexicon=lexicon)
    np.testing.assert_array_equal(other.say("good dogs", **said), expected)


def text_phones_of(word: str) -> tuple[str, ...]:
    return tuple(PHONES[number] for number in text_phones(word).numbers if number)


def test_recordings_that_are_no_good_are_named_and_left_out(recordings, backbone, tmp_path):
    """One of each: silent, clipped, noisy, and one as it was."""
    paths = sorted(Path(recordings).glob("*/*.wav"))[:4]
    rng, told = np.random.default_rng(0), []
    for number, path in enumerate(paths):
        samples, rate = decode(path.read_bytes(), path.name)
        noise = rng.normal(size=len(samples)).astype(np.float32)
        made = (samples * 0, np.clip(50 * samples, -0.9, 0.9), samples + 0.1 * noise, samples)
        content = pcm(np.clip(made[number], -1, 1))
        place = tmp_path / "one" / f"{number}.wav"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(wav_header(rate, len(content)) + content)
        place.with_suffix(".txt").write_text(path.with_suffix(".txt").read_text())
    heard = RecordedVoices(str(tmp_path), Backbone.load(backbone).info, log=told.append)
    assert [u.name for u in heard.utterances("one")] == ["3"]
    for line, sentence in zip(told, ("nearly silent", "clipped", "too noisy"), strict=True):
        assert sentence in line and line.startswith(f"left out: one/{told.index(line)}: ")
