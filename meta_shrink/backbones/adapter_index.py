"""Which row of a batch has which adapter, and the rows of one adapter after those of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from meta_shrink.adapters.encodings import Arrays
from meta_shrink.adapters.reading import Adapter
from meta_shrink.errors import UsageError


def check_index(index: np.ndarray, rows: int, count: int) -> None:
    """One number of `count` adapters for each row.

    Raises:
      UsageError: other numbers, or none or several for a row.
    """
    if index.shape != (rows,) or (rows and index.dtype.kind not in "iu"):
        raise UsageError(
            f"adapter_index has the shape {list(index.shape)} and the type {index.dtype}; expected "
            f"one whole number for each of the {rows} rows."
        )
    if rows and not 0 <= index.min() <= index.max() < count:
        raise UsageError(
            f"adapter_index has numbers from {index.min()} to {index.max()}; expected 0 to "
            f"{count - 1}."
        )


def one_after_another(
    serve: Callable[[Arrays, Arrays], dict[str, np.ndarray]],
    inputs: Arrays,
    adapters: Sequence[Adapter],
    index: np.ndarray,
) -> dict[str, np.ndarray]:
    """Outputs [B, ...] in the order of the rows, those of each adapter served together.

    Args:
      serve: (inputs, tensors of one adapter) -> outputs.
    """
    order = np.argsort(index, kind="stable")
    starts = np.unique(index[order], return_index=True)[1]
    parts = [
        serve(
            {name: value[rows] for name, value in inputs.items()},
            adapters[int(index[rows[0]])].tensors,
        )
        for rows in np.split(order, starts[1:])
    ]
    back = np.argsort(order, kind="stable")
    return {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}
