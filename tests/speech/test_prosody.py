"""What a network of prosody is told and answers: by hand, and there and back."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ModuleRegistry, UsageError, negative_log_likelihood
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.models import prosody as network
from meta_shrink.speech.features import NUMBERS, PHONES, Phone, frame_features
from meta_shrink.speech.prosody import (
    FEATURES,
    TARGETS,
    Phones,
    Range,
    frames_of,
    network_inputs,
    of_frames,
    phones_of_words,
)
from meta_shrink.speech.prosody_loss import prosody as prosody_loss
from meta_shrink.tasks.prosody import prosody
from tests.speech.samples import prepared_folder, speaker

HEARD = Range(100.0, 300.0, 40)
SIL, AA, B = (PHONES.index(name) for name in ("SIL", "AA", "B"))


def utterance():
    """SIL of 4 frames, the word AA B of 6 and 1 frames, a gap of 2, and 3 of silence told apart.

    The first four frames of AA are voiced, at 150 Hz times e^0, e^0.1, e^0.2, e^0.3.
    """
    phones = [Phone("AA", 0.02, 0.03, 0), Phone("B", 0.05, 0.005, 0), Phone("SIL", 0.065, 0.01, -1)]
    f0 = np.zeros(16)
    f0[4:8] = 150 * np.exp([0.0, 0.1, 0.2, 0.3])
    return frame_features(phones, f0)


def test_targets_of_known_phones():
    phones, targets = of_frames(utterance())
    # Three silences beside each other, of 2, 2 and 1 frames, are one.
    assert phones.numbers.tolist() == [SIL, AA, B, SIL]
    assert phones.starts.tolist() == [False, True, False, False]
    assert phones.ends.tolist() == [False, False, True, False]
    np.testing.assert_allclose(np.exp(targets[:, 0]), [4, 6, 1, 5], rtol=1e-6)
    # AA's thirds have their middles in its frames 1, 3 and 5.
    np.testing.assert_array_equal(targets[1, 1:4], [1, 1, 0])
    np.testing.assert_allclose(targets[1, 4:], [0.1, 0.3, 0], atol=1e-6)
    assert not targets[[0, 2, 3], 1:].any()


def test_inputs_of_known_phones():
    phones = phones_of_words([["AA", "B"], ["AA"]], [False, True])
    assert phones.numbers.tolist() == [SIL, AA, B, AA, SIL]
    inputs = network_inputs(phones)
    assert inputs.shape == (5, FEATURES) and inputs.dtype == np.float32
    around = inputs[:, :-5].reshape(5, 5, 40).argmax(-1)
    assert around[1].tolist() == [SIL, SIL, AA, B, AA]
    assert around[4].tolist() == [B, AA, SIL, SIL, SIL]
    assert (inputs[:, :-5].sum(1) == 5).all()
    told = [
        [0, 0, 0.1, 1, 1],
        [1, 0, 0.3, 1 / 2, 1 / 4],
        [0, 1, 0.5, 1 / 3, 1 / 3],
        [1, 1, 0.7, 1 / 4, 1 / 2],
        [0, 0, 0.9, 1, 1],
    ]
    np.testing.assert_allclose(inputs[:, -5:], told, rtol=1e-6)


def test_an_utterance_without_silence_is_told_of_one_around_it():
    alone = Phones(np.array([AA, B], np.uint8), np.array([True, False]), np.array([False, True]))
    np.testing.assert_allclose(network_inputs(alone)[:, -2:], [[1 / 2, 1 / 3], [1 / 3, 1 / 2]])


def test_frames_of_known_prosody():
    phones = phones_of_words([["AA", "B"]], [True])
    said = np.zeros([4, TARGETS])
    said[:, 0] = np.log([2, 6, 1, 3])
    said[:, 1:4] = [[5, 5, 5], [1, 1, -1], [-1, 1, -1], [-1, -1, -1]]
    said[1, 4:6] = 0.0, 0.3
    said[2, 5] = 0.6
    frames = frames_of(phones, said, HEARD)
    assert frames.phones[:, 1].tolist() == [SIL] * 2 + [AA] * 6 + [B] + [SIL] * 3
    voiced, log_f0 = frames.numbers[:, 4], frames.numbers[:, 5]
    # Silence has no pitch, whatever the network says; B has one frame, in its middle third.
    np.testing.assert_array_equal(voiced, [0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0])
    # Points at 3, 5 (AA) and 8.5 (B); frames have their middles at 2.5, 3.5, ...
    expected = [0.0, 0.3 * 0.25, 0.3 * 0.75, 0.3 + 0.3 * 0.5 / 3.5, 0.6]
    np.testing.assert_allclose(log_f0[voiced > 0], expected, atol=1e-6)
    word = NUMBERS.index("word_start"), NUMBERS.index("word_end")
    np.testing.assert_array_equal(frames.numbers[2:9, word[0]], [1] * 6 + [0])
    np.testing.assert_array_equal(frames.numbers[2:9, word[1]], [0] * 6 + [1])


def test_durations_and_pitch_keep_to_what_was_heard():
    phones = phones_of_words([["AA", "B"]], [True])
    said = np.tile(np.array([[-50.0, 9, 9, 9, -9, 0, 9]]), [4, 1])
    said[1, 0] = 1e30
    frames = frames_of(phones, said, HEARD)
    assert len(frames.phones) == 1 + 40 + 1 + 1
    f0 = 150 * np.exp(frames.numbers[frames.numbers[:, 4] > 0, 5])
    np.testing.assert_allclose([f0.min(), f0.max()], [100, 300], rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_there_and_back(seed):
    rng = np.random.default_rng(seed)
    words = [[str(rng.choice(PHONES[1:])) for _ in range(rng.integers(1, 6))] for _ in range(6)]
    phones = phones_of_words(words, [bool(x) for x in rng.integers(0, 2, 6)])
    said = rng.normal(size=[len(phones.numbers), TARGETS])
    said[:, 0] = np.log(rng.integers(3, 40, len(said)))
    again, targets = of_frames(frames_of(phones, said, Range(1.0, 1e4, 40)))
    for found, given in zip(again, phones, strict=True):
        np.testing.assert_array_equal(found, given)
    np.testing.assert_allclose(targets[:, 0], said[:, 0], atol=1e-6)
    np.testing.assert_array_equal(
        targets[:, 1:4], (said[:, 1:4] > 0) & (phones.numbers != SIL)[:, None]
    )
    np.testing.assert_array_equal(network_inputs(again), network_inputs(phones))


def test_the_loss_by_hand():
    target = [[2.0, 1, 0, 1, 0.5, 0, 0.1], [1.0, 0, 0, 0, 0, 0, 0]]
    output = [[2.5, 0.0, 2.0, -1.0, 0.7, 9.0, 0.0], [1.0, -30.0, -30.0, -30.0, 9, 9, 9]]
    timing = 0.5 * (0.5 / 0.5) ** 2
    voicing = np.log(2) + np.log1p(np.exp(2.0)) + np.log1p(np.exp(1.0))
    melody = 0.5 * (0.2 / 0.2) ** 2 + 0.5 * (0.1 / 0.2) ** 2
    expected = [timing + (voicing + melody) / 3, 0.0]
    found = prosody_loss()(tf.constant(target), tf.constant(output))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    for noise in ([0.5], [0.5, 0.0]):
        with pytest.raises(UsageError, match="two positive numbers"):
            prosody_loss(noise=noise)
    with pytest.raises(UsageError, match="the loss 'prosody' takes"):
        prosody_loss()(tf.zeros([2, 6]), tf.zeros([2, 7]))


def test_unvoiced_pitch_has_no_gradient_and_the_curvature_is_finite():
    model = network(seed=0, inputs=FEATURES, hidden=[4])
    assert ModuleRegistry.by_layer(model).names == ("hidden_1", "duration", "voicing", "pitch")
    phones, targets = of_frames(utterance())
    batch = tf.constant(network_inputs(phones)), tf.constant(targets)
    params = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    nll = negative_log_likelihood(model, prosody_loss())
    with tf.GradientTape() as tape:
        tape.watch(params)
        value = nll(params, (batch[0], batch[1] * [1, 0, 0, 0, 0, 0, 0]))
    gradient = tape.gradient(value, params)
    assert not np.any(gradient[-1]) and np.any(gradient[-3]) and value.dtype == tf.float32
    product = hessian_vector_product(nll, params, batch)(params)
    assert all(np.isfinite(x).all() for x in product)
    # Of the pitch's bias it is the voiced share over the variance: 2 of 4 phones' 3 points.
    basis = [tf.zeros_like(x) for x in params]
    basis[-1] = tf.constant([1.0, 0, 0])
    row = hessian_vector_product(nll, params, batch)(basis)[-1]
    np.testing.assert_allclose(row, [1 / 4 / 3 / 0.2**2, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("options", [{"inputs": 0}, {"points": 0}, {"hidden": []}, {"hidden": [0]}])
def test_sizes_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match="expected at least 1"):
        network(**{"seed": 0, "inputs": 3, **options})


def test_tasks_are_speakers_and_examples_their_phones(tmp_path):
    """The samples' utterances are one AA each, at 100 Hz and the number of the seed."""
    speakers = [speaker(f"s{n}", [20 + n, 30, 9], "train", 10 * n) for n in range(3)]
    folder = prepared_folder(tmp_path, [*speakers, speaker("v", [25, 31], "test", 100)])
    source = prosody(seed=0, data_dir=folder, validation_share=0.4)
    inputs, targets, weights = source.heldout(tf.constant(0)).train
    assert inputs.shape == (1, FEATURES) and weights.numpy().tolist() == [1]
    frames = round(float(np.exp(targets[0, 0])))
    assert frames in (25, 31)
    f0 = 150 * np.exp(targets[0, 4:])
    np.testing.assert_allclose(f0, {25: 200, 31: 201}[frames], rtol=1e-5)
    assert (source.num_heldout, source.num_validation) == (1, 3)
    told = source.prosody
    assert told is not None and source.mixed is not None
    assert told.longest <= 30 and 100 <= told.lowest_f0 < told.highest_f0 <= 123
    drawn = source.mixed.draw(tf.constant([1, 2]), 50)
    assert set(np.rint(np.exp(drawn[1][:, 0])).astype(int)) <= {20, 21, 22, 30, 9}
    assert drawn[2].numpy().tolist() == [1.0] * 50
