"""The tensors of several adapters, [A, ...], in memory that the next call uses again."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import AdapterTensor, argument_name
from meta_shrink.adapters.reading import Adapter

# TensorFlow computes on memory that starts at a multiple of so many bytes, and ends the process
# where it does not.
ALIGNMENT = 64


class Stacks:
    """Stacks adapters of one backbone; safe to use from many threads."""

    def __init__(self, tensors: Sequence[AdapterTensor]) -> None:
        self._tensors, self._memory = tensors, threading.local()

    def __call__(self, adapters: Sequence[Adapter]) -> dict[str, np.ndarray]:
        """The tensors of A adapters as arguments, which the next call of this thread overwrites.

        New memory for each call would cost more than the copy.
        """
        return {argument_name(spec.name): self._stacked(spec, adapters) for spec in self._tensors}

    def _stacked(self, spec: AdapterTensor, adapters: Sequence[Adapter]) -> np.ndarray:
        buffers: dict[str, np.ndarray] = vars(self._memory)
        buffer = buffers.get(spec.name)
        if buffer is None or len(buffer) < len(adapters):
            buffer = buffers[spec.name] = aligned((len(adapters), *spec.shape))
        for row, adapter in enumerate(adapters):  # A third of the time of np.stack for small ones.
            buffer[row] = adapter.tensors[spec.name]
        return buffer[: len(adapters)]


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """float32 memory that TensorFlow can use as it is."""
    size = 4 * int(np.prod(shape))
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(np.float32).reshape(shape)


def lent(array: np.ndarray) -> tf.Tensor:
    """A tensor of an array, in the array's own memory where that is aligned.

    tf.constant copies into new memory, which takes longer than all else but the network. For calls
    that are over before the array changes.
    """
    if not array.size or array.ctypes.data % ALIGNMENT:
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
