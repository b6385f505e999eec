"""What serving needs of a backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from meta_shrink.adapters.backbone_info import BackboneInfo
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
