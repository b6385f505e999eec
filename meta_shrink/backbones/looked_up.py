"""Rows that inputs look up in an exported network's tables (embeddings), which may not be there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from meta_shrink.errors import MetaShrinkError

_OUTSIDE = re.compile(r"indices\S* = (\S+) is not in \[0, (\d+)\)")


@contextmanager
def looked_up(where: str, kind: type[MetaShrinkError]) -> Iterator[None]:
    """While the network is called on a CPU: such a row is an error of this kind, in a sentence."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = _OUTSIDE.search(str(error))
        if found is None:
            raise
        raise kind(
            f"{where}: the network has no row {found[1]}, which the inputs ask for; expected 0 to "
            f"{int(found[2]) - 1}."
        ) from None
