"""The calls of layers, replaced for as long as a model is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Call = Callable[..., Any]


@contextmanager
def replaced_calls(layers: Sequence[Any], wrap: Callable[[Any, Call], Call]) -> Iterator[None]:
    """In this block each layer's `call` is wrap(layer, call); afterwards it is what it was.

    Blocks nest: one inside wraps what the one outside has made.
    """
    before = [vars(layer).get("call") for layer in layers]
    for layer in layers:
        layer.call = wrap(layer, layer.call)
    try:
        yield
    finally:
        for layer, call in zip(layers, before, strict=True):
            if call is None:
                del layer.call
            else:
                layer.call = call
