"""What a bank of adapters keeps of each, and counts."""

from __future__ import annotations

from concurrent.futures import Future
from typing import NamedTuple

from meta_shrink.adapters.reading import Adapter


class BankStats(NamedTuple):
    """Counts since the start, and what is resident now; load_seconds is a sum over the loads."""

    hits: int = 0
    misses: int = 0
    loads: int = 0
    failures: int = 0
    evictions: int = 0
    load_seconds: float = 0.0
    resident: int = 0
    pinned: int = 0
    resident_bytes: int = 0


class Entry:
    """A resident adapter and how many users it has at present."""

    def __init__(self, adapter: Adapter, pins: int) -> None:
        self.adapter = adapter
        self.pins = pins
        self.removed = False  # Its file is gone: for those alone who have it pinned.
        self.num_bytes = sum(tensor.nbytes for tensor in adapter.tensors.values())


class Load:
    """A load under way: its entry to come, and how many wait for it."""

    def __init__(self) -> None:
        self.entry: Future[Entry] = Future()
        self.waiting = 1
