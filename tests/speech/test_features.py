"""Frame features against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.speech.features import (
    FEATURES,
    NUMBERS,
    PHONES,
    Phone,
    frame_features,
    network_features,
)

SIL, HH, AY, DH = (PHONES.index(name) for name in ("SIL", "HH", "AY", "DH"))
# "hi the": silence of 2 frames, HH of 2, AY of 4, a gap of 1, DH of 1, an untold end of 2.
HI = [
    Phone("SIL", 0.0, 0.01, -1),
    Phone("HH", 0.01, 0.01, 0),
    Phone("AY", 0.02, 0.02, 0),
    Phone("DH", 0.045, 0.005, 1),
]
F0 = np.array([0, 0, 0, 0, 150, 300, 75, 0, 0, 0, 0, 0], float)


def column(frames, name: str) -> list[float]:
    return frames.numbers[:, NUMBERS.index(name)].tolist()


def test_phones_before_now_and_after():
    frames = frame_features(HI, F0)
    assert frames.phones.tolist() == [
        *[[SIL, SIL, HH]] * 2,
        *[[SIL, HH, AY]] * 2,
        *[[HH, AY, SIL]] * 4,
        [AY, SIL, DH],
        [SIL, DH, SIL],
        *[[DH, SIL, SIL]] * 2,
    ]


def test_position_and_duration():
    frames = frame_features(HI, F0)
    wanted = [0.25, 0.75, 0.25, 0.75, 0.125, 0.375, 0.625, 0.875, 0.5, 0.5, 0.25, 0.75]
    assert column(frames, "position") == pytest.approx(wanted)
    seconds = [0.01] * 4 + [0.02] * 4 + [0.005] * 2 + [0.01] * 2
    wanted = np.log(np.array(seconds) / 0.1).tolist()
    assert column(frames, "log_duration") == pytest.approx(wanted, rel=1e-6)


def test_edges_of_words():
    frames = frame_features(HI, F0)
    assert column(frames, "word_start") == [0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0]
    assert column(frames, "word_end") == [0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 0]


def test_pitch():
    frames = frame_features(HI, F0)
    assert column(frames, "voiced") == (F0 > 0).tolist()
    wanted = [0] * 4 + [0, np.log(2), -np.log(2)] + [0] * 5
    assert column(frames, "log_f0") == pytest.approx(wanted)


def test_phones_beyond_the_end_are_left_out():
    frames = frame_features(HI, np.zeros([3]))
    assert frames.phones.tolist() == [[SIL, SIL, HH]] * 2 + [[SIL, HH, SIL]]


@pytest.mark.parametrize(
    ("phones", "says"),
    [
        ([Phone("XX", 0.0, 0.1, 0)], "'XX' is none of"),
        ([Phone("AA", 0.0, 0.1, 0), Phone("B", 0.05, 0.1, 0)], "out of order"),
        ([Phone("AA", 0.0, 0.1, 0), Phone("B", 0.1, 0.11, 0)], "another recording"),
    ],
)
def test_a_bad_alignment_is_refused(phones, says):
    with pytest.raises(DataError, match=says):
        frame_features(phones, np.zeros([30]))


def test_an_alignment_may_be_longer_by_its_rounding():
    phones = [Phone("AA", 0.0, 0.1, 0), Phone("B", 0.1, 0.1, 0)]
    assert len(frame_features(phones, np.zeros([30])).phones) == 30


def test_what_the_network_gets():
    frames = frame_features(HI, F0)
    got = network_features(frames.phones, frames.numbers).numpy()
    assert got.shape == (12, FEATURES) == (12, 126)
    one_hot = got[:, :120].reshape(12, 3, 40)
    assert (one_hot.argmax(2) == frames.phones).all()
    assert (one_hot.sum(2) == 1).all()
    assert (got[:, 120:] == frames.numbers).all()
