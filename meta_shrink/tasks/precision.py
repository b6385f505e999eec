"""Whether numbers keep what varies in them, when they become those of a network. NumPy only."""

from __future__ import annotations

import numpy as np


def is_fine(array: np.ndarray, cast: np.ndarray) -> bool:
    """Whether rounding is small beside what varies in each number of an example.

    What varies by less than 1e-12 of its size is noise of float64.
    """
    if cast.dtype.kind != "f" or array.dtype in (bool, cast.dtype) or not array.size:
        return True
    error = np.abs(array - cast.astype(np.float64)).reshape(len(array), -1).max(axis=0, initial=0)
    if not error.any():
        return True
    numbers = array.reshape(len(array), -1).astype(np.float64)
    varies = numbers.std(axis=0)
    real = varies > 1e-12 * np.abs(numbers).max(axis=0, initial=0)
    return not (real & (error > 0.01 * varies)).any()
