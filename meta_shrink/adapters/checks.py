"""Checks of a loaded adapter: does the backbone answer as it did, and is it like the others?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.encodings import Arrays
from meta_shrink.adapters.probe import agrees
from meta_shrink.adapters.reading import Adapter
from meta_shrink.errors import AdapterError


def check_probe(adapter: Adapter, backbone: BackboneInfo, outputs: Sequence[float]) -> None:
    """Compares what the backbone answers the fixed input (`probe_outputs`) with the manifest.

    Raises:
      AdapterError: "probe".
    """
    if not agrees(backbone, adapter.manifest.probe, outputs):
        raise AdapterError(
            "probe",
            f"With the adapter {adapter.id}, {backbone.name} answers its fixed input otherwise "
            f"than when the adapter was made (tolerance {backbone.probe.atol:g}): adapt again.",
        )


def prior_distance(adapter: Adapter, backbone: BackboneInfo, default: Arrays) -> dict[str, float]:
    """{module: ||theta - phi||^2 / (D sigma^2)}, near 1 for a typical task.

    default: the tensors of phi. D: numbers of the module. Moments have no prior and do not count;
    neither do modules without one.
    """
    totals: dict[str, float] = {}
    for spec in backbone.tensors:
        if spec.kind == "variable":
            delta = adapter.tensors[spec.name].astype(np.float64) - default[spec.name]
            totals[spec.module] = totals.get(spec.module, 0.0) + float(np.sum(delta**2))
    return {
        module.name: totals[module.name] / (module.size * module.sigma2)
        for module in backbone.modules
        if module.name in totals and module.sigma2 is not None
    }


def implausible(adapter: Adapter, backbone: BackboneInfo, default: Arrays) -> list[str]:
    """Modules whose distance lies outside the range that the backbone's own tasks had."""
    distances = prior_distance(adapter, backbone, default)
    return [
        name
        for name, (low, high) in backbone.plausible.items()
        if name in distances and not low <= distances[name] <= high
    ]
