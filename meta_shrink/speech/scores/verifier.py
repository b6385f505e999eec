"""A small network that tells speakers apart: from an utterance to a vector of its voice.

Convolutions over log-mel frames, mean and deviation over time, a vector of length 1 (x-vectors,
Snyder et al. 2018); trained to name the speakers of a prepared corpus by the cosine to one vector
each, with a margin. It needs no more than the package has, and is half a minute's work.

Trained on clean speech alone it takes a voice in 20 dB of noise for somebody else's, and what a
network says has its speaker and a hiss: so it is trained on noisy copies too (scores.noise).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from meta_shrink.speech.scores.log_mel import BANDS, loud_log_mel

PIECE = 160  # Frames: 1.6 s.
SETTINGS: dict[str, Any] = {
    "version": 2, "channels": 64, "size": 64, "steps": 600, "batch": 32, "rate": 2e-3,
    "scale": 15.0, "margin": 0.2, "seed": 0, "noisy": 3,
}  # fmt: skip
_EVERY = 80  # Frames from one piece of an utterance to the next.


class Verifier(NamedTuple):
    """The network [N, PIECE, BANDS] -> [N, size] of length 1, and what is known of it."""

    network: keras.Model
    facts: Mapping[str, Any]

    def embed(self, log_mels: Sequence[np.ndarray]) -> list[np.ndarray]:
        """float32 [size] of each utterance, given as log_mel.loud_log_mel says it.

        Pieces of 1.6 s that overlap by half; their mean, of length 1.
        """
        pieces = [_pieces(frames) for frames in log_mels]
        vectors = self.network.predict(np.concatenate(pieces), batch_size=64, verbose=0)
        ends = np.cumsum([len(own) for own in pieces])
        means = [own.mean(axis=0) for own in np.split(vectors, ends[:-1])]
        return [mean / np.linalg.norm(mean) for mean in means]

    def hear(self, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As `embed`, of samples [N] at log_mel.RATE."""
        return self.embed([loud_log_mel(samples) for samples in sounds])


def network() -> keras.Model:
    """The untrained network, its first values by the seed of SETTINGS."""
    seeds = iter(range(SETTINGS["seed"], SETTINGS["seed"] + 8))

    def layer(kind: Any, *sizes: int, **options: Any) -> Any:
        start = keras.initializers.GlorotUniform(next(seeds))
        return kind(*sizes, kernel_initializer=start, **options)

    heard = x = keras.Input([PIECE, BANDS])
    for width, stride, dilation in ((5, 2, 1), (3, 1, 1), (3, 1, 2)):
        options = {"strides": stride, "dilation_rate": dilation, "use_bias": False}
        x = layer(keras.layers.Conv1D, SETTINGS["channels"], width, **options)(x)
        x = keras.layers.BatchNormalization(momentum=0.95)(x)
        x = keras.layers.ReLU()(x)
    mean = keras.ops.mean(x, axis=1)
    spread = keras.ops.sqrt(keras.ops.add(keras.ops.var(x, axis=1), 1e-4))
    vector = layer(keras.layers.Dense, SETTINGS["size"])(keras.ops.concatenate([mean, spread], 1))
    return keras.Model(heard, keras.layers.UnitNormalization()(vector))


def train(utterances: Sequence[Sequence[np.ndarray]]) -> keras.Model:
    """The network, trained on the log-mel frames of the utterances of each of several speakers."""
    model, number = network(), len(utterances)
    start: Any = keras.initializers.GlorotUniform(SETTINGS["seed"] + 8)
    vectors = keras.layers.Dense(
        number, use_bias=False, kernel_initializer=start, kernel_constraint="unit_norm"
    )
    trained = keras.Model(model.inputs, vectors(model.outputs[0]))
    rate: Any = keras.optimizers.schedules.CosineDecay(SETTINGS["rate"], SETTINGS["steps"])
    trained.compile(keras.optimizers.Adam(rate), loss=_margin_loss)
    chance = np.random.default_rng(SETTINGS["seed"])
    for _ in range(SETTINGS["steps"]):
        who = chance.integers(number, size=SETTINGS["batch"])
        drawn = [_drawn(utterances[speaker], chance) for speaker in who]
        trained.train_on_batch(np.stack(drawn), keras.ops.one_hot(who, number))
    return model


def _margin_loss(one_hot: Any, cosines: Any) -> Any:
    """Cross-entropy of the scaled cosines, the right one less a margin (Wang et al. 2018)."""
    logits = SETTINGS["scale"] * (cosines - SETTINGS["margin"] * one_hot)
    return keras.ops.categorical_crossentropy(one_hot, logits, from_logits=True)


def _drawn(utterances: Sequence[np.ndarray], chance: np.random.Generator) -> np.ndarray:
    """A random piece of a random utterance."""
    frames = _filled(utterances[int(chance.integers(len(utterances)))])
    first = chance.integers(len(frames) - PIECE + 1)
    return frames[first : first + PIECE]


def _pieces(frames: np.ndarray) -> np.ndarray:
    """[N, PIECE, BANDS] of an utterance, to its end."""
    frames = _filled(frames)
    last = len(frames) - PIECE
    return np.stack([frames[min(n, last) :][:PIECE] for n in range(0, last + _EVERY, _EVERY)])


def _filled(frames: np.ndarray) -> np.ndarray:
    """At least PIECE frames, by saying it again."""
    return np.tile(frames, [-(-PIECE // len(frames)), 1]) if len(frames) < PIECE else frames
