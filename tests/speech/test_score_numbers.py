"""Scores by hand: cosines to means, leaving out, error rates, intervals, boxes, phones that fit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.speech.alignment import SCORE_UNIT, HeardPhone
from meta_shrink.speech.scores.estimates import box, over_speakers, paired
from meta_shrink.speech.scores.intelligibility import FIT_NATS, fitting
from meta_shrink.speech.scores.log_mel import BANDS, RATE, loud_log_mel, mel_bands
from meta_shrink.speech.scores.similarity import cosine, equal_error_rate, to_others, to_own

UP, RIGHT, LEFT = np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([-1.0, 0.0])
HALF = math.sqrt(0.5)


def test_the_cosine_of_a_vector_and_itself_is_one_whatever_its_length():
    assert cosine(UP, 3 * UP) == 1 and cosine(UP, RIGHT) == 0 and cosine(RIGHT, 2 * LEFT) == -1
    assert cosine(UP, np.zeros(2)) == 0


def test_an_utterance_is_compared_with_the_others_of_its_speaker():
    real = {"a": {"1": UP, "2": 5 * RIGHT, "3": UP}, "b": {"1": LEFT, "2": LEFT}}
    own = to_own(real, real)
    # Without 1: the mean of RIGHT and UP; without 2: UP, each of length 1 before.
    assert own["a"] == pytest.approx({"1": HALF, "2": 0.0, "3": HALF})
    assert own["b"] == pytest.approx({"1": 1.0, "2": 1.0})
    # What is spoken under the name of a real recording, and under another one.
    spoken = to_own({"a": {"2": UP, "new": UP}}, real)
    assert spoken["a"] == pytest.approx({"2": 1.0, "new": 2 / math.sqrt(5)})


def test_others_are_compared_with_all_of_another_speaker():
    real = {"a": {"1": UP, "2": UP}, "b": {"1": RIGHT, "2": UP}, "c": {"1": LEFT, "2": LEFT}}
    others = to_others(real)
    assert others["a"] == pytest.approx({"1/b": HALF, "1/c": 0, "2/b": HALF, "2/c": 0})
    assert others["c"] == pytest.approx({"1/a": 0, "1/b": -HALF, "2/a": 0, "2/b": -HALF})


@pytest.mark.parametrize(
    ("own", "others", "rate"),
    [
        ([0.8, 0.9], [0.1, 0.2], 0.0),
        ([0.1, 0.2], [0.8, 0.9], 1.0),
        ([0.4, 0.8, 0.8, 0.8], [0.1, 0.1, 0.1, 0.6], 0.25),
    ],
)
def test_the_equal_error_rate(own, others, rate):
    def values(numbers):
        return {"a": {str(n): x for n, x in enumerate(numbers)}}

    assert equal_error_rate(values(own), values(others)) == pytest.approx(rate)


def test_speakers_count_alike_and_differences_are_theirs():
    real = {"a": {"1": 1.0, "2": 3.0}, "b": {"1": 4.0}, "c": {"1": 6.0}}
    spoken = {"a": {"1": 1.0}, "b": {"x": 2.0, "y": 2.0}, "c": {"1": 3.0}}
    # Means 2, 4, 6: deviation 2, Student's t of two degrees of freedom 4.3027.
    assert over_speakers(real) == pytest.approx((4.0, 4.3027 * 2 / math.sqrt(3)), rel=1e-4)
    # Differences -1, -2, -3.
    assert paired(spoken, real) == pytest.approx((-2.0, 4.3027 / math.sqrt(3)), rel=1e-4)
    alone = over_speakers({"a": {"1": 1.0}})
    assert alone.mean == 1 and math.isnan(alone.ci95)


def test_the_numbers_of_a_box():
    values = {
        "a": {str(n): float(n) for n in range(50)},
        "b": {str(n): n + 50.0 for n in range(51)},
    }
    assert box(values) == (5, 25, 50, 75, 95)


def test_phones_fit_by_their_nats_a_frame():
    def phone(nats: float, frames: int) -> HeardPhone:
        return HeardPhone("AA", 0, frames, round(-nats * frames / SCORE_UNIT))

    good, bad = phone(FIT_NATS - 0.1, 10), phone(FIT_NATS + 0.1, 30)
    assert fitting([good, bad, good, good]) == 0.75
    assert fitting([]) == 0


def test_bands_of_a_tone_are_those_around_it_and_its_level_does_not_matter():
    middle = 2595 * np.log10(1 + 1000 / 700)
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    loud, quiet = loud_log_mel(0.5 * tone), loud_log_mel(0.05 * tone)
    lowest, highest = 2595 * np.log10(1 + np.array([60, 7600]) / 700)
    nearest = round((middle - lowest) / (highest - lowest) * (BANDS + 1)) - 1
    assert set(loud.argmax(1)) == set(quiet.argmax(1)) == {nearest}
    assert abs(loud.mean()) < 1e-5
    assert mel_bands().shape == (BANDS, 257) and mel_bands().sum(1).min() > 0


def test_silence_and_a_click_are_too_short():
    click = np.zeros(RATE)
    click[5000:5100] = 0.5
    for sound in (click, np.zeros(10), 0.5 * np.ones(4000)):
        with pytest.raises(DataError, match=r"s of sound; expected 0\.5 s or more"):
            loud_log_mel(sound)
