"""What a bank and a batcher are given: numbers that would hang a thread, folders that are links."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta_shrink import AdapterBank, UsageError
from meta_shrink.serving.batching import Batcher
from tests.serving.fakes import FakeBackbone, put_adapter

COUNTS = [(name, value) for name in ("max_batch", "max_queue", "loaders")
          for value in (0, -1, 1.5, math.nan, math.inf, 10**12, True, None)]  # fmt: skip
DELAYS = [-1, -1e-9, 60_000.1, 1e18, 10**400, math.nan, math.inf, -math.inf, True, "2", None]


@pytest.mark.parametrize(
    ("name", "value"), [*COUNTS, *(("max_delay_ms", value) for value in DELAYS)]
)
def test_options_that_would_hang_the_worker_or_end_it(tmp_path, name, value):
    backbone = FakeBackbone()
    bank = AdapterBank(backbone, str(tmp_path))
    with pytest.raises(UsageError, match=f"^{name} is .*; expected a"):
        Batcher(backbone, bank, **{name: value})


@pytest.mark.parametrize("delay", [0, 0.0, 1e-9, np.float32(0.5)])
def test_delays_of_every_kind(tmp_path, delay):
    backbone = FakeBackbone()
    with Batcher(backbone, AdapterBank(backbone, tmp_path), max_delay_ms=delay) as batcher:
        assert batcher.submit({"x": [1.0, 2.0]}).result(60)["y"][0] == 3.0


def test_options_of_the_bank(tmp_path):
    for name in ("max_resident", "wait_seconds"):
        for value in (-1, math.nan, math.inf, 1e300, None):
            options: Any = {name: value}
            with pytest.raises(UsageError, match=f"^{name} is .*; expected a"):
                AdapterBank(FakeBackbone(), tmp_path, **options)
    with pytest.raises(UsageError, match="directory"):
        AdapterBank(FakeBackbone(), tmp_path / "absent")


@pytest.mark.parametrize(
    "form", ["link", "link/", "link//", "link/.", "./link", "chain", "in/link"]
)
def test_a_directory_that_is_a_link_is_refused_at_the_start(tmp_path, monkeypatch, form):
    """Every load refuses it: a server would start, and answer nobody."""
    monkeypatch.chdir(tmp_path)
    for name in ("real/link", "in"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "chain").symlink_to("link")
    (tmp_path / "in/link").symlink_to(tmp_path / "real")
    with pytest.raises(UsageError, match=r"symbolic link.* name the directory that it points to"):
        AdapterBank(FakeBackbone(), form)


@pytest.mark.parametrize("form", ["real", "real/", "link/inner", "real/../real"])
def test_a_directory_below_a_link_is_none(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    bank = AdapterBank(FakeBackbone(), Path(form))
    key = put_adapter(tmp_path / form, 3)
    assert bank.acquire(key).id == key
