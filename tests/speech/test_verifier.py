"""The verifier of speakers: what it hears, its pieces, and real voices it has never heard."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from meta_shrink.speech.audio_files import load
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.scores import verifier, verifier_file
from meta_shrink.speech.scores.copy_synthesis import world_copy
from meta_shrink.speech.scores.log_mel import BANDS, RATE, loud_log_mel
from meta_shrink.speech.scores.noise import noisy
from meta_shrink.speech.scores.similarity import equal_error_rate, to_others, to_own
from meta_shrink.speech.scores.verifier import PIECE, Verifier, network, train
from tests.image_data import published
from tests.speech.real_voices import buzz
from tests.speech.samples import humming, prepared_folder


def test_an_embedding_has_length_one_and_is_that_of_the_utterance_said_twice():
    own = Verifier(network(), {})
    frames = np.random.default_rng(0).normal(size=[PIECE // 2, BANDS]).astype(np.float32)
    short, twice, other = own.embed([frames, np.tile(frames, [2, 1]), -frames])
    np.testing.assert_allclose(short, twice, atol=1e-6)
    assert np.linalg.norm(short) == pytest.approx(1, abs=1e-5)
    assert short @ other < 0.99


def test_pieces_reach_to_the_end():
    frames = np.arange(PIECE + 90, dtype=np.float32)[:, np.newaxis] * np.ones(
        [1, BANDS], np.float32
    )
    heard = []

    class Recorder:
        def predict(self, pieces, **_):
            heard.append(pieces)
            return np.ones([len(pieces), 2])

    Verifier(Recorder(), {}).embed([frames])  # pyright: ignore[reportArgumentType]
    assert [tuple(piece[[0, -1], 0]) for piece in heard[0]] == [(0, 159), (80, 239), (90, 249)]


def test_training_is_the_same_twice(monkeypatch):
    monkeypatch.setitem(verifier.SETTINGS, "steps", 3)
    chance = np.random.default_rng(0)
    utterances = [[chance.normal(size=[200, BANDS]).astype(np.float32)] for _ in range(3)]
    one, other = (train(utterances).get_weights() for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_noise_is_as_loud_as_it_says():
    """By the power of what is added, 0 to 30 dB below the sound, and never twice the same."""
    sound = np.sin(2 * np.pi * 200 / RATE * np.arange(RATE)) / 4
    sound[: RATE // 2] /= 100
    found = []
    for seed in range(60):
        noise = noisy(sound, np.random.default_rng(seed)) - sound
        first, second = np.split(np.square(noise), 2)
        tilt = np.corrcoef(noise[:-1], noise[1:])[0, 1]
        below = 10 * np.log10(np.mean(np.square(sound)) / np.mean(np.square(noise)))
        found.append((below, first.mean() / second.mean(), tilt))
    below, even, tilts = np.array(found).T
    assert below.min() > -0.1 and below.max() < 30.1 and np.std(below) > 6
    # A room's noise is as loud in the quiet half, that of codes is weak there but for its end.
    assert (np.abs(even - 1) < 0.3).sum() + (even < 0.2).sum() == 60
    assert 20 < (even > 0.5).sum() < 40
    for tilt in (0.0, 0.5, 0.9):
        assert (np.abs(tilts - tilt) < 0.05).sum() > 8
    assert (noisy(sound, np.random.default_rng(1)) == noisy(sound, np.random.default_rng(1))).all()


def test_a_verifier_is_trained_on_noisy_copies_and_tells_its_errors(tmp_path, monkeypatch):
    trained = []

    def train_nothing(utterances):
        trained.extend(utterances)
        return network()

    monkeypatch.setattr(verifier_file, "train", train_nothing)
    folder = prepared_folder(tmp_path, [humming(number) for number in range(10)])
    own = verifier_file.own_verifier(folder, None, [], lambda _: None)
    assert len(trained) == len(own.facts["trained_on"]) == 7
    for speaker in trained:
        clean, copies = speaker[:3], speaker[3:]
        assert len(copies) == 3 * verifier.SETTINGS["noisy"] == 9
        assert not any(np.array_equal(one, copy) for one in clean for copy in copies)
    assert {*own.facts} >= {"equal_error_rate", "equal_error_rate_in_noise"}
    (file,) = tmp_path.glob("verifier-*.safetensors")
    assert verifier_file.read_verifier(str(file)).facts == own.facts


@pytest.mark.slow
def test_noise_on_a_voice_makes_nobody_else_of_it(monkeypatch):
    """The control: trained on clean speech alone, it does."""
    monkeypatch.setitem(verifier.SETTINGS, "steps", 300)
    spoken = [list(own.values()) for _, own in _samples("train", 6)]
    clean = [[loud_log_mel(x) for x in own] for own in spoken]
    chance = np.random.default_rng(0)
    copies = [[loud_log_mel(noisy(x, chance)) for _ in range(3) for x in own] for own in spoken]

    def hiss(samples):
        noise = np.random.default_rng(1).normal(size=len(samples))
        return samples + noise * np.sqrt(np.mean(np.square(samples)) / 10)

    rates = []
    for heard in (clean, [a + b for a, b in zip(clean, copies, strict=True)]):
        trained = Verifier(train(heard), {})
        real = _embedded(trained, lambda samples: samples)
        rates.append(equal_error_rate(to_own(_embedded(trained, hiss), real), to_others(real)))
    assert rates[0] > 0.4 and rates[1] < 0.25


@pytest.mark.slow
def test_real_voices_are_told_apart_and_a_copy_is_more_like_them_than_a_buzz(monkeypatch):
    if not importlib.util.find_spec("pyworld"):
        pytest.skip("needs the extra speech")
    monkeypatch.setitem(verifier.SETTINGS, "steps", 300)
    trained = Verifier(
        train([[loud_log_mel(x) for x in own.values()] for _, own in _samples("train", 6)]), {}
    )
    kinds = {"real": lambda samples: samples, "copy": world_copy, "buzz": buzz}
    said = {kind: _embedded(trained, how) for kind, how in kinds.items()}
    own = {kind: to_own(vectors, said["real"]) for kind, vectors in said.items()}
    assert equal_error_rate(own["real"], to_others(said["real"])) < 0.15
    real, copy, buzzing = (
        np.mean([x for values in own[kind].values() for x in values.values()]) for kind in kinds
    )
    assert real > copy > buzzing


def _samples(split: str, each: int):
    """The first recordings of each speaker of a split: (speaker, {utterance: samples})."""
    by_speaker: dict[str, list] = {}
    for one in find_recordings(str(published("speech") / f"so762_meta_{split}.tar")).recordings:
        by_speaker.setdefault(one.speaker, []).append(one)
    for speaker, own in by_speaker.items():
        yield (
            speaker,
            {r.utterance: load(r.place.read(), r.utterance, RATE) for r in own[:each]},
        )


def _embedded(trained: Verifier, how):
    return {
        speaker: dict(zip(own, trained.hear([how(x) for x in own.values()]), strict=True))
        for speaker, own in _samples("test", 4)
    }
