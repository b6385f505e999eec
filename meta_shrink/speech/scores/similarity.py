"""Speaker similarity: the cosine of an utterance's embedding to its speaker's mean embedding."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Speaker -> utterance -> what is known of it: an embedding [D], or a number.
Embeddings = Mapping[str, Mapping[str, np.ndarray]]
Values = dict[str, dict[str, float]]


def to_own(embeddings: Embeddings, real: Embeddings) -> Values:
    """Cosine of each utterance to the mean of its speaker's real ones, as text-free as it can be.

    The real utterance of the same name is left out of the mean: it is the utterance itself, or the
    recording of the same sentence.
    """
    return {
        speaker: {
            name: cosine(vector, _mean(real[speaker], without=name)) for name, vector in own.items()
        }
        for speaker, own in embeddings.items()
    }


def to_others(real: Embeddings) -> Values:
    """Cosine of each real utterance to the mean of each other speaker, by "utterance/other"."""
    means = {speaker: _mean(own) for speaker, own in real.items()}
    return {
        speaker: {
            f"{name}/{other}": cosine(vector, mean)
            for name, vector in own.items()
            for other, mean in means.items()
            if other != speaker
        }
        for speaker, own in real.items()
    }


def equal_error_rate(own: Values, others: Values) -> float:
    """The share of errors at the threshold where as many own are refused as others accepted."""
    same, other = (
        np.sort([value for values in part.values() for value in values.values()])
        for part in (own, others)
    )
    cuts = np.concatenate([same, other])
    refused = np.searchsorted(same, cuts, "left") / len(same)
    accepted = 1 - np.searchsorted(other, cuts, "left") / len(other)
    nearest = np.argmin(np.abs(refused - accepted))
    return float((refused[nearest] + accepted[nearest]) / 2)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of two vectors; 0 where one of them is 0."""
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length else 0.0


def _mean(vectors: Mapping[str, np.ndarray], without: str | None = None) -> np.ndarray:
    """Of unit vectors, so that no utterance counts more than another."""
    kept = [vector / np.linalg.norm(vector) for name, vector in vectors.items() if name != without]
    return np.mean(kept, axis=0)
