"""remote/lease.py: one owner, in a store in memory that decides who creates an object."""

from __future__ import annotations

import json
import threading
import uuid

import pytest

from meta_shrink.errors import ArtefactError, InUseError
from meta_shrink.remote import lease as leases
from meta_shrink.remote.lease import Lease
from meta_shrink.remote.store import Store

SECONDS = 0.4


@pytest.fixture
def store() -> Store:
    return Store.of(f"memory://{uuid.uuid4().hex}")


def held(store: Store, **options) -> Lease:
    return Lease(store, "run", seconds=SECONDS, log=lambda _: None, **options)


def kill(lease: Lease) -> None:
    """Its process renews it no more, and says so to nobody."""
    lease._ended.set()
    lease._thread.join()


def test_one_process_holds_it_and_the_next_one_after_it(store):
    first = held(store)
    with pytest.raises(InUseError, match=r"^memory://\w+/run is in use by process \d+ on "):
        held(store)
    first.check()
    first.release()
    assert store.read("run/.lease") is None
    held(store).release()


def test_what_a_killed_process_left_is_taken_over_with_a_message(store):
    kill(held(store))
    told = []
    second = Lease(store, "run", seconds=SECONDS, log=told.append)
    assert len(told) == 1 and "has a lease of process" in told[0]
    second.check()
    second.release()
    assert store.listing("run") == {} and store.read("run/.lease") is None


def test_of_several_who_take_it_over_one_has_it(store):
    kill(held(store))
    found: list[Lease] = []
    refused: list[InUseError] = []

    def contend() -> None:
        try:
            found.append(held(store))
        except InUseError as error:
            refused.append(error)

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1 and len(refused) == 7
    found[0].check()
    found[0].release()


def test_a_takeover_that_another_one_is_at_is_left_to_it(store):
    dead = held(store)
    kill(dead)
    assert store.create(f"run/.lease-of-{dead._me}-ended", b"")
    with pytest.raises(InUseError):
        held(store)
    assert json.loads(store.read("run/.lease") or b"")["owner"] == dead._me


def test_an_owner_that_was_stopped_too_long_writes_no_more(store):
    first = held(store)
    store.write("run/.lease", json.dumps({"owner": "another", "count": 0}).encode())
    first._thread.join(5)
    with pytest.raises(InUseError, match="was taken over by another process"):
        first.check()
    first.release()
    assert b"another" in (store.read("run/.lease") or b"")


def test_a_broken_network_ends_no_lease_at_once(store, monkeypatch):
    first, writes = held(store), []

    def broken(self, name, content):
        writes.append(name)
        raise ArtefactError("no network")

    monkeypatch.setattr(Store, "write", broken)
    while len(writes) < 2:
        threading.Event().wait(SECONDS / leases.LOOKS)
    first.check()
    first.release()


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{}", b"null"])
def test_a_lease_that_is_none_is_taken_over_too(store, content):
    store.write("run/.lease", content)
    second = held(store)
    second.check()
    second.release()
