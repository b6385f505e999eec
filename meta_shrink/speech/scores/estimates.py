"""Means over speakers, paired differences, and the numbers of a box plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from meta_shrink.intervals import mean_and_ci95
from meta_shrink.speech.scores.similarity import Values


class Estimate(NamedTuple):
    """A mean over speakers and the half width of its 95 % interval, NaN for a single speaker."""

    mean: float
    ci95: float


class Box(NamedTuple):
    """A box plot's numbers: quartiles, and whiskers where 5 % of the values lie beyond each."""

    low: float
    first: float
    median: float
    third: float
    high: float


def over_speakers(values: Values) -> Estimate:
    """Of the speakers' own means: each counts alike, and their utterances are not independent."""
    return _estimate(list(speaker_means(values).values()))


def paired(values: Values, real: Values) -> Estimate:
    """Of the differences of the speakers' means, which both have."""
    ours, theirs = speaker_means(values), speaker_means(real)
    return _estimate([ours[speaker] - theirs[speaker] for speaker in ours])


def box(values: Values) -> Box:
    """Over all utterances."""
    flat = [value for own in values.values() for value in own.values()]
    return Box(*(float(p) for p in np.percentile(flat, [5, 25, 50, 75, 95])))


def speaker_means(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of each speaker's utterances."""
    return {speaker: float(np.mean(list(own.values()))) for speaker, own in values.items()}


def _estimate(numbers: Sequence[float]) -> Estimate:
    return Estimate(*map(float, mean_and_ci95(np.array(numbers))))
