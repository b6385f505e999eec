"""benchmarks/synthesis.py in small: every way of speaking is measured."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import synthesis


@pytest.mark.programs
@pytest.mark.parametrize("threads", [1, 2])
def test_every_way_is_measured(monkeypatch, threads):
    monkeypatch.setattr(synthesis, "FRAMES", 8)
    monkeypatch.setattr(synthesis, "ROUNDS", 1)
    monkeypatch.setattr(synthesis, "of_torch", lambda channels, rows, threads: None)
    found = synthesis.measured(channels=2, rows=2, threads=threads)
    assert found.pop("torch") is None
    assert [found.pop(name) for name in ("channels", "rows", "threads")] == [2, 2, threads]
    assert set(found) == {"compiled", "one_voice", "pitched", "compile_s", "tensorflow", "numpy"}
    assert all(value is not None and value > 0 for value in found.values())


def test_rows_have_layers_of_their_own_or_share_them():
    mixed, one = synthesis.voices_of(2, 3), synthesis.voices_of(2, 0)
    own = {path for path in mixed if mixed[path].shape != one[path].shape}
    assert own == {
        f"block_{block}_dilated/{part}" for block in range(10, 22) for part in ("kernel", "bias")
    }
    kernel = "block_12_dilated/kernel"
    assert mixed[kernel].shape == [3, *one[kernel].shape]
    np.testing.assert_array_equal(mixed[kernel][2], one[kernel])
