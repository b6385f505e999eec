"""A backbone of voices as the server speaks by it: a row is a piece of 0.2 s of an utterance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.serving_setup import NUM_INPUTS, Setup
from meta_shrink.adapters.reading import Adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.voices import PIECE_FRAMES, SIGNATURE
from meta_shrink.enrolment.served_voices import BackboneVoices
from meta_shrink.speech.features import FEATURES


class Speaking:
    """`serving_setup.Measured` of a backbone of voices, by the network that its server has."""

    def __init__(self, backbone: Backbone) -> None:
        """Raises UsageError where it does not speak."""
        self.voices, self._backbone = BackboneVoices(backbone), backbone
        network = self.voices.network
        self.path, self.info, self.default = network.path, network.info, network.default
        self.check, self.predict_mixed = network.check, network.predict_mixed
        self.signatures = {SIGNATURE: backbone.signatures[SIGNATURE]}

    def load_adapter(self, path: str) -> Adapter:
        """As Backbone.load_adapter."""
        return self._backbone.load_adapter(path)

    def predict(
        self, inputs: Mapping[str, np.ndarray], adapter: Adapter | None = None
    ) -> dict[str, np.ndarray]:
        """Codes and state of pieces by one adapter."""
        rows = len(next(iter(inputs.values())))
        return self.predict_mixed(inputs, [adapter or self.default], np.zeros(rows, np.int32))


def speaking(setup: Setup) -> Setup:
    """The same adapters, spoken by; inputs are pieces of NUM_INPUTS utterances after silence.

    Raises:
      UsageError: the backbone does not speak.
    """
    backbone: Any = setup.backbone  # As set_up loaded it.
    network = Speaking(backbone)
    features = np.random.default_rng(0).normal(size=(NUM_INPUTS, 2 * PIECE_FRAMES, FEATURES))
    rows = []
    for seed, told in enumerate(features.astype(np.float32)):
        # The first piece is the silence that is heard ahead of an utterance.
        piece = list(network.voices.pieces(told, seed=seed, temperature=1.0))[1]
        rows.append({**piece.inputs, **network.voices.silence()})
    return setup._replace(
        backbone=network, inputs={name: np.stack([row[name] for row in rows]) for name in rows[0]}
    )
