"""Whether layers may use TensorFlow's own kernels, whose derivatives XLA gets wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_CALLS = threading.local()


@contextmanager
def native_kernels(allowed: bool = True) -> Iterator[None]:
    """While a model is called or traced for the CPU without XLA: layers use TensorFlow's kernels.

    They are several times faster there than the same maths in small operations. Under XLA the
    second derivative of MaxPool picks its maximum in bfloat16 and aborts the compiler of one TPU
    generation; small operations are right there, and fused by the compiler.
    """
    before = native_kernels_allowed()
    _CALLS.native = allowed
    try:
        yield
    finally:
        _CALLS.native = before


def native_kernels_allowed() -> bool:
    """For a layer's call: whether the innermost native_kernels block allows them."""
    return getattr(_CALLS, "native", False)
