"""Cached sampling against the network itself: equal probabilities, pieces, rows, draws."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ModuleRegistry, UsageError
from meta_shrink.models import wavenet
from meta_shrink.speech.signal import SILENT_CODE
from meta_shrink.speech.synthesis import DRAWN, Noise, silence, speak, voice_of

ROWS, FRAMES, HOP, FEATURES = 2, 30, 40, 4
SAMPLES = FRAMES * HOP  # More than the 1,024 that a cycle hears.
spoken = tf.function(speak)


def network(seed: int = 0, **options):
    return wavenet(
        seed=seed, samples=SAMPLES, frames=FRAMES, features=FEATURES, channels=3, gate=5, skip=4,
        cycles=1, **options,
    )  # fmt: skip


def voices_of(model) -> dict[str, tf.Tensor]:
    paths = ModuleRegistry.by_layer(model).paths
    rng = np.random.default_rng(len(paths))
    return {
        path: tf.constant(rng.normal(scale=0.4, size=v.shape), tf.float32)
        for path, v in zip(paths, model.trainable_variables, strict=True)
    }


def features_of(rows: int = ROWS, frames: int = FRAMES) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).normal(size=[rows, frames, FEATURES]), tf.float32)


def drawn(rows: int = ROWS, samples: int = SAMPLES) -> tf.Tensor:
    return tf.fill([rows, samples], DRAWN)


def noise(rows: int = ROWS, seed: int = 3) -> tf.Tensor:
    return tf.constant([Noise(seed + row)(SAMPLES) for row in range(rows)])


def forced_log_probs(model, voices, codes, *told) -> np.ndarray:
    """Of the network as it is trained: it hears all codes before a sample."""
    for path, variable in zip(
        ModuleRegistry.by_layer(model).paths, model.trainable_variables, strict=True
    ):
        variable.assign(voices[path])
    before = np.pad(codes[:, :-1], [[0, 0], [1, 0]], constant_values=SILENT_CODE)
    logits = model([tf.constant(before), *told])
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(codes, logits).numpy()


@pytest.mark.parametrize(("jit", "pitch_blocks"), [(False, 0), (True, 0), (True, 10)])
def test_the_samples_fed_back_have_the_probabilities_that_they_were_drawn_with(jit, pitch_blocks):
    model, features = network(pitch_blocks=pitch_blocks), features_of()
    voices = voices_of(model)
    run = tf.function(speak, jit_compile=True) if jit else spoken
    codes, log_probs, state = run(voices, features, drawn(), noise(), silence(voices, ROWS))
    assert len(np.unique(codes)) > 50
    np.testing.assert_array_equal(state.code, codes[:, -1])
    expected = forced_log_probs(model, voices, codes.numpy(), features)
    np.testing.assert_allclose(log_probs, expected, atol=1e-4)


def test_given_codes_are_heard_and_kept():
    voices = voices_of(network())
    given = drawn().numpy()
    given[:, :100] = np.random.default_rng(2).integers(0, 256, [ROWS, 100])
    state = silence(voices, ROWS)
    codes = spoken(voices, features_of(), tf.constant(given), noise(), state).codes
    np.testing.assert_array_equal(codes[:, :100], given[:, :100])
    other = spoken(voices, features_of(), drawn(), noise(), state).codes
    assert (codes[:, 100:].numpy() != other[:, 100:].numpy()).any()


@pytest.mark.parametrize("pitch_blocks", [0, 3])
def test_pieces_are_the_same_as_the_whole(pitch_blocks):
    voices, features = voices_of(network(pitch_blocks=pitch_blocks)), features_of()
    whole = spoken(voices, features, drawn(), noise(), silence(voices, ROWS))
    chances = [Noise(3 + row) for row in range(ROWS)]
    state, codes, first = silence(voices, ROWS), [], 0
    for frames in (1, 12, 17):
        own = features[:, first : first + frames]
        chance = tf.constant([draw(frames * HOP) for draw in chances])
        piece = spoken(voices, own, drawn(samples=frames * HOP), chance, state)
        state, first = piece.spoken, first + frames
        codes.append(piece.codes)
    np.testing.assert_array_equal(tf.concat(codes, 1), whole.codes)
    np.testing.assert_allclose(state.past, whole.spoken.past, atol=1e-5)


@pytest.mark.parametrize("pitch_blocks", [0, 5])
def test_each_row_has_its_own_voice(pitch_blocks):
    """Every layer of every row; and only some of them, as an adapter has them."""
    one, other = (voices_of(network(pitch_blocks=pitch_blocks)) for _ in range(2))
    other = {path: value[..., ::-1] for path, value in other.items()}
    features = features_of(frames=3)
    given = tf.constant(np.random.default_rng(5).integers(0, 256, [ROWS, 3 * HOP]), tf.int32)

    def scores(voices, row=slice(None)):
        state = silence(voices, len(given[row]))
        chance = tf.fill(tf.shape(given[row]), 0.5)
        return spoken(voices, features[row], given[row], chance, state).log_probs

    for own in (set(one), {"block_03_dilated/kernel", "block_03_dilated/bias", "output_1/bias"}):
        second = one | {path: other[path] for path in own}
        mixed = one | {path: tf.stack([one[path], other[path]]) for path in own}
        np.testing.assert_allclose(scores(mixed)[0], scores(one, slice(1))[0], atol=1e-5)
        np.testing.assert_allclose(scores(mixed)[1], scores(second, slice(1, 2))[0], atol=1e-5)
        assert np.abs(scores(one)[1] - scores(second)[1]).max() > 1e-2


def test_one_speaker_of_a_network_of_many_voices():
    """Each speaks as the network that is told its number, and rows differ in any layer."""
    model = network(speakers=3, speaker_channels=2)
    many, features = voices_of(model), features_of()
    codes = tf.constant(np.random.default_rng(5).integers(0, 256, [ROWS, SAMPLES]), tf.int32)

    def scores(voices):
        return spoken(voices, features, codes, noise(), silence(voices, ROWS)).log_probs

    found = [scores(voice_of(many, number)) for number in range(3)]
    for number in range(3):
        told = features, tf.fill([ROWS], number)
        expected = forced_log_probs(model, many, codes.numpy(), *told)
        np.testing.assert_allclose(found[number], expected, atol=1e-4)
    assert np.abs(found[0] - found[2]).max() > 1e-2
    other = {path: value[..., ::-1] for path, value in many.items()}
    parts = ("speaker/table", "block_03_speaker/kernel", "block_03_speaker/bias")
    for own in (*((path,) for path in parts), ("block_03_condition/bias",), tuple(many)):
        second = scores(voice_of(many | {path: other[path] for path in own}, 1))
        mixed = many | {path: tf.stack([many[path], other[path]]) for path in own}
        rows = scores(voice_of(mixed, 1))
        np.testing.assert_allclose(rows[0], found[1][0], atol=1e-4)
        np.testing.assert_allclose(rows[1], second[1], atol=1e-4)
        assert np.abs(second[1] - found[1][1]).max() > 1e-3


def test_draws_follow_the_softmax_of_the_logits_by_the_temperature():
    """With kernels of 0 the logits are the last bias."""
    zeros = {path: tf.zeros_like(value) for path, value in voices_of(network()).items()}
    logits = np.full([256], -30.0, np.float32)
    logits[[7, 90, 200]] = [0.0, 1.0, 2.0]
    voices = zeros | {"output_2/bias": tf.constant(logits)}
    rows = 16

    def shares(temperature):
        state = silence(voices, rows)
        codes = spoken(
            voices, features_of(rows), drawn(rows), noise(rows), state, temperature
        ).codes.numpy()
        return np.array([(codes == code).mean(-1) for code in (7, 90, 200)])

    for temperature in (1.0, 0.5):
        weights = np.exp(np.array([0.0, 1.0, 2.0]) / temperature)
        # 19,200 draws: six standard deviations are at most 0.022.
        expected = weights / weights.sum()
        np.testing.assert_allclose(shares(temperature).mean(-1), expected, atol=0.022)
    np.testing.assert_array_equal(shares(0.0).mean(-1), [0, 0, 1])
    each = shares(tf.constant([0.0, 1.0] * (rows // 2)))[2]
    assert (each[::2] == 1).all() and (each[1::2] < 1).all()


def test_a_row_is_the_same_whatever_the_rows_around_it():
    """Each at another place of another utterance; up to rounding, which seldom moves a draw."""
    voices, features = voices_of(network()), features_of(3)
    alone = spoken(voices, features[:1], drawn(1), noise(1), silence(voices, 1))
    half = SAMPLES // 2
    first = spoken(
        voices, features[:1, : FRAMES // 2], drawn(1, half), noise(1)[:, :half], silence(voices, 1)
    )
    other = silence(voices, 2)
    joined = type(other)(*(tf.concat([a, b], 0) for a, b in zip(other, first.spoken, strict=True)))
    told = tf.concat([features[1:, : FRAMES // 2], features[:1, FRAMES // 2 :]], 0)
    chance = tf.concat([noise(2)[:, :half], noise(1)[:, half:]], 0)
    codes = spoken(voices, told, drawn(3, half), chance, joined).codes
    np.testing.assert_array_equal(codes[2], alone.codes[0, half:])


def test_noise_is_that_of_its_seed_in_whatever_pieces():
    first, again, other = Noise(3)(1000), Noise(3), Noise(4)(1000)
    np.testing.assert_array_equal(first, np.concatenate([again(1), again(501), again(498)]))
    assert (first != other).mean() > 0.99 and 0 < first.min() < 0.01 < 0.99 < first.max() < 1
    for wrong in (-1, 2**63):
        with pytest.raises(UsageError, match="expected at least 0"):
            Noise(wrong)


def test_what_is_no_voice_is_refused():
    with pytest.raises(UsageError, match="parameters of a wavenet"):
        silence({"dense/kernel": tf.zeros([2, 2])}, 1)
    voices = voices_of(network())
    with pytest.raises(UsageError, match="no multiple of 3 frames"):
        speak(voices, features_of(frames=3), drawn(samples=100), noise(), silence(voices, ROWS))
