"""Voices of NumPy: a frame is a sample, the code before it + the adapter's number * ... + noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from meta_shrink import UsageError
from meta_shrink.adapters.backbone_info import ArraySpec
from tests.serving.fakes import FakeBackbone

PIECE = 4
SHAPES = {"features": (PIECE, 2), "noise": (PIECE,), "last": ()}


class FakePiece(NamedTuple):
    inputs: Any
    heard: slice


class SpeakingFake(FakeBackbone):
    """code[t] = code[t - 1] + number * sum(features[t]) + noise[t], from 0; a row at a time."""

    def __init__(self) -> None:
        super().__init__(tuple(ArraySpec(name, x, "float32") for name, x in SHAPES.items()))

    def predict_mixed(self, inputs, adapters, index) -> dict[str, np.ndarray]:
        self.gate.wait(10)
        self.batches.append(len(index))
        if (inputs["features"] == self.refused_input).any():
            raise RuntimeError("out of range, in a file of the server: /etc/model")
        numbers = np.array([adapters[i].tensors["w"][0, 0] for i in index])[:, np.newaxis]
        steps = numbers * inputs["features"].sum(-1) + inputs["noise"]
        codes = inputs["last"][:, np.newaxis] + np.cumsum(steps, axis=1)
        return {"codes": codes, "last": codes[:, -1]}


class FakeVoices:
    """As enrolment.served_voices.BackboneVoices; noise is the seed.

    A byte of sound a sample, twice the code less the one before it: it tells where a piece is heard
    as if nothing were before it.
    """

    at_a_time, frames_per_second = 4, 10
    features = ArraySpec("features", (None, 2), "float32")

    def __init__(self) -> None:
        self.network: Any = SpeakingFake()

    def like(self, sound: bytes, text: str, *, shift: float, max_seconds: float) -> np.ndarray:
        if len(sound) / self.frames_per_second > max_seconds:
            raise UsageError("too long")
        return np.array([[byte, shift] for byte in sound], np.float32)

    def say(self, text: str, *, shift: float, max_seconds: float) -> np.ndarray:
        return self.like(text.encode(), text, shift=shift, max_seconds=max_seconds)

    def silence(self) -> dict[str, np.ndarray]:
        return {"last": np.array(0.0, np.float32)}

    def pieces(self, features, *, seed, temperature):
        for first in range(0, len(features), PIECE):
            told = np.zeros([PIECE, 2], np.float32)
            own = features[first : first + PIECE]
            told[: len(own)] = own
            noise = np.full([PIECE], seed * temperature, np.float32)
            yield FakePiece({"features": told, "noise": noise}, slice(0, len(own)))

    def header(self, num_bytes: int | None) -> bytes:
        return f"WAV {num_bytes} ".encode()

    def sounds(self):
        before = np.zeros([1])

        def sound(codes: np.ndarray) -> bytes:
            nonlocal before
            known, before = np.concatenate([before, codes]), codes[-1:]
            return (2 * known[1:] - known[:-1]).astype(np.uint8).tobytes()

        return sound
