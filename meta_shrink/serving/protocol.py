"""What serving needs of a backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from meta_shrink.adapters.backbone_info import ArraySpec, BackboneInfo
from meta_shrink.adapters.reading import Adapter


class ServedBackbone(Protocol):
    """A network that takes adapters as arguments: `meta_shrink.backbones.loaded.Backbone`, say.

    All of it may be called by many threads at once.
    """

    @property
    def path(self) -> str:
        """The folder it was loaded from; its last part may be a version."""
        ...

    @property
    def info(self) -> BackboneInfo:
        """What the backbone says about itself."""
        ...

    @property
    def default(self) -> Adapter:
        """The adapter of phi itself."""
        ...

    def check(self, adapter: Adapter) -> None:
        """The probe: AdapterError if the adapter works otherwise here than where it was made."""
        ...

    def predict_mixed(
        self, inputs: Mapping[str, np.ndarray], adapters: Sequence[Adapter], index: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Outputs {name: [B, ...]} of inputs {name: [B, ...]}; row b by adapters[index[b]]."""
        ...


class SpokenPiece(Protocol):
    """A piece of an utterance: a row of the network but for its state; heard: of its codes."""

    @property
    def inputs(self) -> Mapping[str, np.ndarray]:
        """What it tells the network."""
        ...

    @property
    def heard(self) -> slice:
        """Those of its codes that are heard."""
        ...


class ServedVoices(Protocol):
    """A backbone that speaks: `meta_shrink.enrolment.served_voices.BackboneVoices`, say.

    Of an utterance, each piece is a row of `network`, with the state that the piece before it left.
    """

    @property
    def network(self) -> ServedBackbone:
        """Rows are pieces; outputs: "codes" [T], and the state by its names."""
        ...

    @property
    def at_a_time(self) -> int:
        """Rows that the network computes at once."""
        ...

    @property
    def features(self) -> ArraySpec:
        """Of an utterance, of any number of frames."""
        ...

    @property
    def frames_per_second(self) -> int:
        """Of the features."""
        ...

    def like(self, sound: bytes, text: str, *, shift: float, max_seconds: float) -> np.ndarray:
        """Features [F, C] of a recording of these words; UsageError where that is not possible."""
        ...

    def say(self, text: str, *, shift: float, max_seconds: float) -> np.ndarray:
        """Features [F, C] of a text that nobody recorded; UsageError where that is not possible."""
        ...

    def silence(self) -> dict[str, np.ndarray]:
        """The state before an utterance."""
        ...

    def pieces(
        self, features: np.ndarray, *, seed: int, temperature: float
    ) -> Iterator[SpokenPiece]:
        """An utterance; UsageError where a number does not fit."""
        ...

    def header(self, num_bytes: int | None) -> bytes:
        """What a WAV file of so many bytes of sound begins with; None: nobody knows how many."""
        ...

    def sounds(self) -> Callable[[np.ndarray], bytes]:
        """Of one utterance: its codes [N], piece by piece, -> 16-bit PCM."""
        ...
