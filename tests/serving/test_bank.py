"""AdapterBank: what is resident, what is evicted, what is loaded, and what a name means."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from meta_shrink import AdapterBank, AdapterError, ArtefactError
from meta_shrink.errors import Overloaded
from tests.serving.fakes import FakeBackbone, put_adapter, put_broken, put_index


def make_bank(directory, **options):
    backbone = FakeBackbone()
    return backbone, AdapterBank(backbone, str(directory), **options)


def use(bank, key):
    with bank.pinned(key) as adapter:
        return adapter


def test_hit_returns_the_same_object_and_counts(tmp_path):
    _, bank = make_bank(tmp_path)
    key = put_adapter(tmp_path, 3)
    assert use(bank, key) is use(bank, key)
    stats = bank.stats()
    assert (stats.hits, stats.misses, stats.loads, stats.resident, stats.pinned) == (1, 1, 1, 1, 0)
    assert stats.resident_bytes == bank.adapter_bytes == 32


def is_resident(bank, key):
    if (adapter := bank.acquire_resident(key)) is None:
        return False
    bank.release(adapter)
    return True


def test_least_recently_used_is_evicted(tmp_path):
    _, bank = make_bank(tmp_path, max_resident=2)
    a, b, c = (put_adapter(tmp_path, number) for number in (1, 2, 3))
    for key in (a, b, a, c):  # b is the least recently used when c comes.
        use(bank, key)
    assert [is_resident(bank, key) for key in (a, b, c)] == [True, False, True]
    assert (bank.stats().loads, bank.stats().evictions) == (3, 1)


def test_pinned_is_never_evicted(tmp_path):
    _, bank = make_bank(tmp_path, max_resident=2)
    keys = [put_adapter(tmp_path, number) for number in range(6)]
    with bank.pinned(keys[0]) as first:
        for key in keys[1:]:
            use(bank, key)
        with bank.pinned(keys[0]) as again:
            assert again is first
    assert bank.stats().loads == 6


def test_every_load_is_verified_and_the_probe_is_made_once(tmp_path):
    backbone, bank = make_bank(tmp_path, max_resident=1)
    a, b = put_adapter(tmp_path, 1), put_adapter(tmp_path, 2)
    for key in (a, b, a, b):
        use(bank, key)
    assert (bank.stats().loads, backbone.probed) == (4, [a, b])
    path = tmp_path / f"{a}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(AdapterError, match="SHA-256"):
        use(bank, a)


def test_a_failed_probe_is_made_again(tmp_path):
    backbone, bank = make_bank(tmp_path)
    key = put_adapter(tmp_path, 1)
    backbone.refused.add(key)
    for _ in range(2):
        with pytest.raises(AdapterError) as caught:
            use(bank, key)
        assert caught.value.code == "probe"
    backbone.refused.clear()
    assert use(bank, key).id == key
    assert backbone.probed == [key] * 3


def test_all_pinned_is_a_typed_error_after_a_wait(tmp_path):
    _, bank = make_bank(tmp_path, max_resident=1, wait_seconds=0.05)
    a, b = put_adapter(tmp_path, 1), put_adapter(tmp_path, 2)
    with bank.pinned(a), pytest.raises(Overloaded, match="max_resident"):
        bank.acquire(b)
    assert use(bank, b).id == b


def test_all_pinned_waits_for_a_place(tmp_path):
    _, bank = make_bank(tmp_path, max_resident=1)
    a, b = put_adapter(tmp_path, 1), put_adapter(tmp_path, 2)
    adapter = bank.acquire(a)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(use, bank, b)
        bank.release(adapter)
        assert waiting.result(60).id == b


def test_one_load_for_threads_that_ask_at_once(tmp_path):
    backbone, bank = make_bank(tmp_path)
    key = put_adapter(tmp_path, 1)
    backbone.load_gates[key] = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(bank.acquire, key) for _ in range(8)]
        while bank.stats().misses < 8:
            pass
        backbone.load_gates[key].set()
        assert len({id(future.result(60)) for future in asked}) == 1
    assert backbone.probed == [key]
    assert (bank.stats().loads, bank.stats().pinned) == (1, 1)
    for left in range(7, -1, -1):  # Each of them has a pin of its own to give back.
        bank.release(asked[left].result())
        assert bank.stats().pinned == (left > 0)


def test_failures_are_typed_shared_and_forgotten(tmp_path):
    _, bank = make_bank(tmp_path)
    broken = put_broken(tmp_path)
    for key, code in ((broken, "pin"), ("c" * 64, "not_found"), ("nobody", "not_found")):
        with pytest.raises(AdapterError) as caught:
            bank.acquire(key)
        assert caught.value.code == code
    late = put_adapter(tmp_path / ".", 5)
    (tmp_path / f"{late}.safetensors").rename(tmp_path / "elsewhere")
    with pytest.raises(AdapterError):
        bank.acquire(late)
    (tmp_path / "elsewhere").rename(tmp_path / f"{late}.safetensors")
    assert use(bank, late).id == late


def test_unknown_names_evict_nothing(tmp_path):
    _, bank = make_bank(tmp_path, max_resident=2)
    keys = [put_adapter(tmp_path, number) for number in (1, 2)]
    for key in keys:
        use(bank, key)
    for number in range(100):
        with pytest.raises(AdapterError):
            bank.acquire(f"{number:064d}")
    assert all(is_resident(bank, key) for key in keys)
    assert bank.stats().evictions == 0


@pytest.mark.parametrize(
    "name",
    ["", "../x", "a/b", "/etc/passwd", "x" * 65, "x" * 10**6, "a\0b", "a\n", "ä", 3, None, ["a"]],
)
def test_no_name_leads_out_of_the_directory(tmp_path, name):
    _, bank = make_bank(tmp_path)
    with pytest.raises(AdapterError) as caught:
        bank.acquire(name)
    assert caught.value.code == "id"
    assert len(str(caught.value)) < 300


def test_alias_is_swapped_by_reload(tmp_path):
    _, bank = make_bank(tmp_path)
    a, b = put_adapter(tmp_path, 1), put_adapter(tmp_path, 2)
    put_index(tmp_path, {"task": a})
    assert bank.reload() == 1
    with bank.pinned("task") as adapter:
        put_index(tmp_path, {"task": b})
        bank.reload()
        assert adapter.id == a
        assert use(bank, "task").id == b


def test_an_adapter_whose_file_is_removed_is_served_no_more(tmp_path):
    """By its id either, as where somebody takes their consent back."""
    _, bank = make_bank(tmp_path)
    a, b = put_adapter(tmp_path, 1), put_adapter(tmp_path, 2)
    files = [tmp_path / f"{key}.safetensors" for key in (a, b)]
    content = files[1].read_bytes()
    use(bank, a)
    with bank.pinned(b) as adapter:
        for file in files:
            file.unlink()
        bank.reload()
        assert bank.stats().resident == 1  # Who has begun with it ends with it.
        for key in (a, b):
            assert bank.acquire_resident(key) is None
            with pytest.raises(AdapterError) as caught:
                bank.acquire(key)
            assert caught.value.code == "not_found"
        files[1].write_bytes(content)  # Given back meanwhile.
        assert use(bank, b) is adapter and bank.stats().pinned == 1
        files[1].unlink()
        bank.reload()
    assert bank.stats().resident == bank.stats().pinned == 0


@pytest.mark.parametrize(
    "index",
    [[], {"t": "short"}, {"../t": "a" * 64}, {"": "a" * 64}, {"b" * 64: "a" * 64}, {"t": 3}, "x"],
)
def test_a_damaged_index_changes_nothing(tmp_path, index):
    _, bank = make_bank(tmp_path)
    key = put_adapter(tmp_path, 1)
    put_index(tmp_path, {"task": key})
    bank.reload()
    put_index(tmp_path, index)
    with pytest.raises(ArtefactError, match=r"index\.json"):
        bank.reload()
    assert bank.resolve("task") == key


def test_index_that_is_no_json_or_no_file(tmp_path):
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(ArtefactError, match="cannot be read"):
        make_bank(tmp_path)
    twice = f'{{"a": "{"0" * 64}", "a": "{"1" * 64}"}}'
    (tmp_path / "index.json").write_text(twice)
    with pytest.raises(ArtefactError, match="a name stands there twice"):
        make_bank(tmp_path)
    (tmp_path / "index.json").unlink()
    (tmp_path / "index.json").symlink_to("/dev/zero")
    with pytest.raises(ArtefactError, match="symbolic link"):
        make_bank(tmp_path)


def test_eviction_under_load_gives_every_thread_its_own_adapter(tmp_path):
    _, bank = make_bank(tmp_path, max_resident=4)
    keys = [put_adapter(tmp_path, number) for number in range(12)]
    most = []

    def work(seed):
        for step in range(300):
            number = (seed * 7 + step * 5) % 12
            with bank.pinned(keys[number]) as adapter:
                assert adapter.id == keys[number]
                assert (adapter.tensors["w"] == number).all()
                most.append(bank.stats().resident)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    stats = bank.stats()
    assert max(most) <= 4
    assert (stats.pinned, stats.hits + stats.misses) == (0, 2400)
    assert stats.loads == stats.evictions + stats.resident
