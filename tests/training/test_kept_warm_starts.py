"""Files of warm starts: what is damaged is made anew, what is cut off is mended."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError
from meta_shrink.training import pretraining_state
from meta_shrink.training.warm_start import cached
from tests.training.test_pretraining import curve, numbers, trained

SHAPES = [(2,), ()]


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def zipped(content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("arr_0.npy", content)
    return stream.getvalue()


def damaged(whole: bytes) -> Iterator[bytes]:
    """A file that is cut off, flipped in each of its parts, or none of ours."""
    yield from (b"", b"PK", b"\x93NUMPY", b"x" * 300, npy(np.zeros(3)), zipped(b""))
    yield from (zipped(npy(np.zeros(3))[:-2]), zipped(b"\x93NUMPY\x01\x00\xff\xff{'descr'"))
    yield zipped(npy(np.zeros(3)), zipfile.ZIP_LZMA)
    yield from (npz(), npz(arr_0=np.zeros(3)), npz(arr_0=np.zeros(2), other=np.zeros([1, 1])))
    yield from (whole[:cut] for cut in range(1, len(whole), 61))
    for place in range(0, len(whole), 11):
        yield whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]


def asked(folder: Path, calls: list[int], seed: int = 0) -> list[np.ndarray]:
    def compute() -> list[tf.Tensor]:
        calls.append(seed)
        return [tf.constant([1.0, 2.0]), tf.constant(3.0)]

    return [v.numpy() for v in cached(str(folder), {"seed": seed}, SHAPES, compute)]


def test_runs_share_their_warm_start(tmp_path):
    calls: list[int] = []
    for seed in (0, 0, 1, 1):
        first, second = asked(tmp_path / "new" / "folder", calls, seed)
        np.testing.assert_array_equal(first, [1.0, 2.0])
        assert second == 3.0
    assert calls == [0, 1] and len(os.listdir(tmp_path / "new" / "folder")) == 2


def test_a_damaged_warm_start_is_made_anew(tmp_path):
    calls: list[int] = []
    asked(tmp_path, calls)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for content in damaged(whole):
        path.write_bytes(content)
        np.testing.assert_array_equal(asked(tmp_path, calls)[0], [1.0, 2.0])
    path.unlink()
    path.mkdir()  # Not a file at all.
    with pytest.raises(OSError, match="directory"):
        asked(tmp_path, calls)


def test_a_damaged_pretraining_starts_again(tmp_path):
    first = trained(tmp_path, {"steps": 10})
    whole = {path: path.read_bytes() for path in tmp_path.glob("*.npz")}
    assert len(whole) == 2
    some = [*damaged(whole[tmp_path / "state.npz"])]
    for content in some[4:12:2] + some[12 :: len(some) // 3]:
        for path in whole:
            path.write_bytes(content)
        again = trained(tmp_path, {"steps": 10})
        assert all((a == b).all() for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("below", ["", "a/b"])
def test_a_cache_that_is_no_folder_is_refused_before_anything_is_computed(tmp_path, below):
    place = tmp_path / "file"
    place.write_text("mine")
    calls: list[int] = []
    with pytest.raises(UsageError, match=r"file.* cannot be written"):
        asked(place / below, calls)
    assert not calls and place.read_text() == "mine"


WRITERS = ("write_arrays", "append_whole")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("when", [0, 1, 2, 5])
def test_killed_at_any_write_it_ends_with_the_same_files(tmp_path, monkeypatch, name, when):
    """And the parameters of a run's end are kept when another goes on."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for steps in (10, 180):
        trained(whole, {"steps": steps})
    monkeypatch.setattr(pretraining_state, name, killing(getattr(pretraining_state, name), when))
    with pytest.raises(KeyboardInterrupt):
        for steps in (10, 180):
            trained(parts, {"steps": steps})
    monkeypatch.undo()
    for steps in (10, 180):
        trained(parts, {"steps": steps})
    assert numbers(whole) == numbers(parts)
    assert [row["end"] for row in curve(whole)] == [row["end"] for row in curve(parts)]
    assert {path.name for path in whole.glob("*.npz")} == {
        path.name for path in parts.glob("*.npz")
    }


def killing(write: Callable[..., None], when: int) -> Callable[..., None]:
    calls = iter(range(1000))

    def dying(*given: object) -> None:
        if next(calls) == when:
            raise KeyboardInterrupt
        write(*given)

    return dying


def test_where_a_run_looked_its_parameters_up_they_are_kept_too(tmp_path):
    """340 steps in points of 10 keep those at 40, 80 and so on: not that at 20, but for its run."""
    trained(tmp_path, {"steps": 160})
    assert not any(row["end"] for row in curve(tmp_path)[:-1])
    first = trained(tmp_path, {"steps": 20})
    trained(tmp_path, {"steps": 340})
    assert [row["step"] for row in curve(tmp_path) if row["end"]] == [20, 160, 340]
    again = trained(tmp_path, {"steps": 20})
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_the_loss_of_a_point_is_the_mean_of_its_steps(tmp_path):
    """A point after 13 steps is a burst of 10 and one of 3."""
    one_by_one = tmp_path / "one"
    trained(one_by_one, {"steps": 26, "validate_every": 1})
    losses = [row["nll_train"] for row in curve(one_by_one)]
    trained(tmp_path / "points", {"steps": 26, "validate_every": 13})
    found = [row["nll_train"] for row in curve(tmp_path / "points")]
    assert found == pytest.approx([np.mean(losses[:13]), np.mean(losses[13:])], rel=1e-5)
