"""Adapters of one directory, resident by least recent use and pinned while a batch uses them."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from meta_shrink.adapters.index import check_name, of_other_backbones, read_index
from meta_shrink.adapters.manifest import Manifest, is_sha256
from meta_shrink.adapters.reading import Adapter, adapter_path, load_adapter, load_again
from meta_shrink.errors import AdapterError, Overloaded
from meta_shrink.serving.bank_entries import BankStats, Entry, Load
from meta_shrink.serving.options import MAX_SECONDS, check_count, check_time, checked_directory
from meta_shrink.serving.protocol import ServedBackbone

MAX_KNOWN = 100_000


class AdapterBank:
    """Loads adapters by id or alias from `directory` alone, and keeps `max_resident` of them.

    All adapters of a backbone have the same size in memory, hence a count is a budget of bytes
    (`adapter_bytes` each). Beside the resident ones only those being loaded are in memory: at most
    one per thread that calls `acquire`. An adapter takes the place of the least recently acquired
    one that nobody has pinned, and only once it is loaded and checked: names that do not exist
    evict nothing. Where all are pinned, it waits `wait_seconds` for a place, then Overloaded.
    Failed loads are not remembered. The first load of an id has all checks, and the probe, which
    runs the network; a later one only that the bytes are the same: the id is their SHA-256, and
    equal bytes pass and answer equally. All methods may be called by many threads at once.
    """

    def __init__(
        self,
        backbone: ServedBackbone,
        directory: str | os.PathLike[str],
        *,
        max_resident: int = 256,
        wait_seconds: float = 10.0,
    ) -> None:
        check_count("max_resident", max_resident)
        check_time("wait_seconds", wait_seconds, most=MAX_SECONDS, zero=True)
        self._directory = checked_directory(directory)
        self.max_resident = max_resident
        self.adapter_bytes = sum(t.nbytes for t in backbone.default.tensors.values())
        self._backbone = backbone
        self._wait_seconds = wait_seconds
        self._index = read_index(self._directory)
        self._changed = threading.Condition()  # guards all below
        self._resident: OrderedDict[str, Entry] = OrderedDict()  # least recently acquired first
        self._loading: dict[str, Load] = {}
        self._known: dict[str, Manifest] = {}  # of loaded ones, by id
        self._stats = BankStats()

    def reload(self) -> int:
        """Read index.json again; number of aliases. Where it raises, the former ones stay.

        An adapter whose file was removed is served no more, by its id either. Requests that have
        begun keep the adapter that they began with.

        Raises:
          ArtefactError: index.json is damaged.
        """
        self._index = index = read_index(self._directory)
        with self._changed:
            for key in [k for k in self._resident if not self._has_file(k)]:
                self._resident[key].removed = True
                self._drop_removed(key)
        return len(index)

    def _has_file(self, key: str) -> bool:
        return os.path.exists(adapter_path(self._directory, key))

    def _drop_removed(self, key: str) -> None:
        if self._resident[key].removed and not self._resident[key].pins:
            del self._resident[key]

    def aliases(self) -> list[str]:
        """Those of index.json, in order."""
        return sorted(self._index)

    def others(self) -> list[str]:
        """The aliases whose adapters are of another backbone, which `acquire` refuses."""
        return of_other_backbones(self._directory, self._index, self._backbone.info)

    def resolve(self, name: str) -> str:
        """The id that a name, an id or an alias, means at this moment.

        Raises:
          AdapterError: "id", no possible name; "not_found", no alias of index.json.
        """
        check_name(name)
        if is_sha256(name):
            return name
        try:
            return self._index[name]
        except KeyError:
            raise AdapterError("not_found", f"No adapter has the alias {name}.") from None

    @contextmanager
    def pinned(self, name: str) -> Iterator[Adapter]:
        """The adapter of this name, not evicted within the `with` block; raises as `acquire`."""
        adapter = self.acquire(name)
        try:
            yield adapter
        finally:
            self.release(adapter)

    def acquire(self, name: str, *, counted: bool = True) -> Adapter:
        """The adapter of this name, pinned until `release`; loads it if it is not resident.

        Threads that ask for the same one while it is loaded wait for that one load. counted: as a
        hit or a miss; not where `acquire_resident` has counted already.

        Raises:
          AdapterError: as `resolve`, or the file must not be used, with the code of its loader.
          Overloaded: all resident adapters stayed pinned for `wait_seconds`.
        """
        key = self.resolve(name)
        with self._changed:
            if (adapter := self._pin(key, counted=counted)) is not None:
                return adapter
            load = self._loading.get(key)
            if first := load is None:
                load = self._loading[key] = Load()
            else:
                load.waiting += 1
        if first:
            self._run(key, load)
        return load.entry.result().adapter

    def acquire_resident(self, name: str) -> Adapter | None:
        """As `acquire`, but None, at once, where that would have to load; counted as a miss."""
        key = self.resolve(name)
        with self._changed:
            return self._pin(key, counted=True)

    def pin_again(self, adapter: Adapter, times: int) -> None:
        """More pins of an adapter that the caller has pinned, each to be released."""
        with self._changed:
            self._resident[adapter.id].pins += times

    def release(self, adapter: Adapter) -> None:
        """Give back what one `acquire` gave."""
        with self._changed:
            entry = self._resident[adapter.id]
            entry.pins -= 1
            if not entry.pins:
                self._drop_removed(adapter.id)
                self._changed.notify_all()

    def stats(self) -> BankStats:
        """Counts and sizes of this moment."""
        with self._changed:
            entries = self._resident.values()
            return self._stats._replace(
                resident=len(entries),
                pinned=sum(entry.pins > 0 for entry in entries),
                resident_bytes=sum(entry.num_bytes for entry in entries),
            )

    def _pin(self, key: str, *, counted: bool) -> Adapter | None:
        entry = self._resident.get(key)
        entry = None if entry is None or entry.removed else entry
        if counted:
            self._count(**{"misses" if entry is None else "hits": 1})
        if entry is None:
            return None
        entry.pins += 1
        self._resident.move_to_end(key)
        return entry.adapter

    def _count(self, **more: float) -> None:
        changed = {name: getattr(self._stats, name) + value for name, value in more.items()}
        self._stats = self._stats._replace(**changed)

    def _run(self, key: str, load: Load) -> None:
        """Load, make resident with a pin for each thread that waits, and tell them."""
        try:
            adapter = self._read(key)
            with self._changed:
                self._make_room()
                del self._loading[key]
                # There still, pinned, where its file was gone in between.
                entry = self._resident.setdefault(key, Entry(adapter, 0))
                entry.removed = False
                entry.pins += load.waiting
        except BaseException as error:
            with self._changed:
                del self._loading[key]
                self._count(failures=1)
            load.entry.set_exception(error)
        else:
            load.entry.set_result(entry)

    def _read(self, key: str) -> Adapter:
        """Load and check; each key at most once at a time."""
        start = time.perf_counter()
        path, info = adapter_path(self._directory, key), self._backbone.info
        phi = self._backbone.default.tensors
        if (known := self._known.get(key)) is None:
            adapter = load_adapter(path, info, sha256=key, default=phi)
            self._backbone.check(adapter)
        else:
            adapter = load_again(path, info, known, default=phi, sha256=key)
        with self._changed:
            if known is None:
                self._remember(adapter)
            self._count(loads=1, load_seconds=time.perf_counter() - start)
        return adapter

    def _remember(self, adapter: Adapter) -> None:
        if len(self._known) >= MAX_KNOWN:  # Rare, and it costs a probe each.
            self._known.clear()
        self._known[adapter.id] = adapter.manifest

    def _make_room(self) -> None:
        """Evict until one more fits."""
        if not self._changed.wait_for(self._has_room, self._wait_seconds):
            raise Overloaded(
                f"All {self.max_resident} resident adapters are in use: try again, or raise "
                "max_resident."
            )
        while len(self._resident) >= self.max_resident:
            idle = next(key for key, entry in self._resident.items() if not entry.pins)
            del self._resident[idle]
            self._count(evictions=1)

    def _has_room(self) -> bool:
        entries = self._resident.values()
        return len(entries) < self.max_resident or any(not entry.pins for entry in entries)
