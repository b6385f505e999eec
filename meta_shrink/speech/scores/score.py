"""Score recordings: like their speaker, natural, intelligible; beside real ones, in one result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.errors import DataError
from meta_shrink.runs.progress import Progress
from meta_shrink.speech.recordings import Lexicon
from meta_shrink.speech.scores.compared import OTHERS, REAL, Sound, Sounds
from meta_shrink.speech.scores.estimates import box, over_speakers, paired, speaker_means
from meta_shrink.speech.scores.intelligibility import text_score
from meta_shrink.speech.scores.log_mel import RATE
from meta_shrink.speech.scores.similarity import (
    Values,
    equal_error_rate,
    to_others,
    to_own,
)

FORMAT = "meta_shrink voice scores 1"
Embed = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


class Listeners(NamedTuple):
    """What hears: samples of several utterances -> embeddings; samples -> opinion, if there is one;
    and the lexicon of words that pocketsphinx does not know.
    """

    embed: Embed
    opinion: Callable[[np.ndarray], float] | None
    lexicon: Lexicon


def scores(compared: Mapping[str, Sounds], listeners: Listeners) -> dict[str, Any]:
    """The scores of each of what is compared, REAL among them, as JSON knows them.

    {"format", "compared": {name: {"speakers", "utterances", MEASURE: {"mean", "ci95", "less_real":
    {"mean", "ci95"}, "box": [5, 25, 50, 75, 95 %], "speaker_means", "values": {speaker:
    {utterance: number}}}}}, "equal_error_rate"}. MEASURE is "similarity", "intelligibility", and
    "naturalness" where there are opinions. OTHERS has a similarity alone, to the wrong speakers.
    Means are over speakers, and so are their 95 % intervals.
    """
    hearing = _hearing(listeners)
    values: dict[str, dict[str, Values]] = {m: {n: {} for n in compared} for m in hearing}
    embeddings: dict[str, dict[str, dict[str, np.ndarray]]] = {name: {} for name in compared}
    pairs = [(name, speaker) for name, sounds in compared.items() for speaker in sounds]
    done = 0
    with Progress(sum(len(compared[n][s]) for n, s in pairs), label="utterances") as progress:
        for name, speaker in pairs:
            own = compared[name][speaker]
            vectors = listeners.embed([sound.samples for sound in own.values()])
            embeddings[name][speaker] = dict(zip(own, vectors, strict=True))
            for measure, hear in hearing.items():
                values[measure][name][speaker] = {
                    key: _heard(hear, sound, f"{name}: {speaker}/{key}")
                    for key, sound in own.items()
                }
            done += len(own)
            progress.update(done)
    real = embeddings[REAL]
    similar = {name: to_own(vectors, real) for name, vectors in embeddings.items()}
    values["similarity"] = similar | {OTHERS: to_others(real)}
    return {
        "format": FORMAT,
        "compared": _rows(values, compared),
        "equal_error_rate": equal_error_rate(similar[REAL], values["similarity"][OTHERS]),
    }


def _hearing(listeners: Listeners) -> dict[str, Callable[[Any], float]]:
    """By measure, what hears one utterance."""
    opinion = listeners.opinion
    heard: dict[str, Callable[[Any], float]] = {
        "intelligibility": lambda sound: text_score(
            sound.samples, RATE, sound.text, listeners.lexicon
        )
    }
    if opinion is not None:
        heard["naturalness"] = lambda sound: opinion(sound.samples)
    return heard


def _heard(hear: Callable[[Any], float], sound: Sound, where: str) -> float:
    try:
        return hear(sound)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _rows(
    values: Mapping[str, Mapping[str, Values]], compared: Mapping[str, Sounds]
) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {
        name: {"speakers": len(sounds), "utterances": sum(map(len, sounds.values()))}
        for name, sounds in compared.items()
    }
    for measure, by_name in sorted(values.items()):
        for name, own in by_name.items():
            rows.setdefault(name, {})[measure] = _summary(own, by_name[REAL])
    return rows


def _summary(values: Values, real: Values) -> dict[str, Any]:
    return {
        **over_speakers(values)._asdict(),
        "less_real": paired(values, real)._asdict(),
        "box": list(box(values)),
        "speaker_means": speaker_means(values),
        "values": values,
    }
