"""A fixed input that every backbone and every device can make, and what is compared of its output.

An adapter records what the backbone answers with it; who loads the adapter asks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from meta_shrink.adapters.backbone_info import ArraySpec, BackboneInfo, Probe

NUM_OUTPUTS = 16


def probe_inputs(backbone: BackboneInfo) -> dict[str, np.ndarray]:
    """One example, {input name: [1, ...]}: the same bits everywhere."""
    return uniform_inputs(backbone.probe, backbone.inputs)


def uniform_inputs(probe: Probe, inputs: Iterable[ArraySpec]) -> dict[str, np.ndarray]:
    """As probe_inputs, of a probe alone."""
    generator = np.random.PCG64(probe.seed)
    return {spec.name: _uniform(probe, spec, generator) for spec in inputs}


def _uniform(probe: Probe, spec: ArraySpec, generator: np.random.PCG64) -> np.ndarray:
    shape = [1, *(probe.length if size is None else size for size in spec.shape)]
    # Raw bits are the same for all versions of NumPy; its distributions are not promised to be.
    bits = np.asarray(generator.random_raw(int(np.prod(shape))), np.uint64) >> np.uint64(40)
    whole = np.issubdtype(np.dtype(spec.dtype), np.integer)
    low, high = (0, probe.integers) if whole and probe.integers else (probe.low, probe.high)
    values = low + (high - low) * bits.astype(np.float64) / 2**24
    if whole:
        values = np.floor(values)
    return values.astype(spec.dtype).reshape(shape)


def probe_outputs(backbone: BackboneInfo, outputs: Mapping[str, np.ndarray]) -> tuple[float, ...]:
    """At most 16 numbers, evenly spread over all outputs of the probe."""
    flat = np.concatenate([np.ravel(outputs[spec.name]) for spec in backbone.outputs])
    chosen = np.linspace(0, flat.size - 1, min(NUM_OUTPUTS, flat.size)).round().astype(int)
    return tuple(float(value) for value in flat[chosen].astype(np.float32))


def agrees(backbone: BackboneInfo, expected: Sequence[float], outputs: Sequence[float]) -> bool:
    """Whether outputs are the expected ones within the backbone's tolerance."""
    if len(expected) != len(outputs):
        return False
    difference = np.abs(np.asarray(expected, np.float64) - np.asarray(outputs, np.float64))
    return bool(np.all(difference <= backbone.probe.atol))
