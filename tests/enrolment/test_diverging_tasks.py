"""A task whose adaptation diverges is left out and named; the others have their adapters."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from meta_shrink import (
    AdaptOptions,
    Backbone,
    DataError,
    UsageError,
    adapt_tasks,
    save_backbone,
)
from meta_shrink.adapters.index import read_index
from tests.backbones.sources import source_of
from tests.tiny_runs import NO_LOG

# Of a line through 0 with the mean of squares, a step multiplies the error by |1 - 0.2 x^2|.
OPTIONS = AdaptOptions(steps=60)


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Backbone:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="line")])
    path = str(tmp_path_factory.mktemp("line"))
    how: dict[str, Any] = {"classification": False, "optimizer": {"name": "proximal_gd"}}
    save_backbone(source_of(model, ["line"], sigma2=1e5, **how), path)
    return Backbone.load(path)


def task(scale: float) -> dict[str, np.ndarray]:
    x = np.array([[-scale], [scale]], np.float32)
    return {"inputs": x, "targets": 3 * x, "heldout_inputs": x, "heldout_targets": 3 * x}


@pytest.mark.parametrize("processes", [1, 2])
def test_the_others_are_adapted(line, tmp_path, processes):
    tasks = {"a": task(1.0), "far": task(1e4), "b": task(0.5)}
    said: list[str] = []
    how = {"processes": processes, "log": said.append}
    with pytest.raises(DataError, match=r"1 of 3 were left out.*far: its adaptation diverged") as e:
        adapt_tasks(line, tasks, str(tmp_path), OPTIONS, **how)
    assert "line/" in str(e.value) and "is not finite after 60 steps" in str(e.value)
    assert sorted(read_index(str(tmp_path))) == ["a", "b"]
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    assert [line for line in said if line.startswith("left out: far: its adaptation diverged")]
    # Once its data are mended, it alone is done.
    done = adapt_tasks(line, tasks | {"far": task(2.0)}, str(tmp_path), OPTIONS, **NO_LOG)
    assert sorted(done) == ["a", "b", "far"] and len(list(tmp_path.glob("*.safetensors"))) == 3
    for row in done.values():
        assert row["metric"]["60"] < 0.1 < row["metric"]["0"]


# A step multiplies the error of `far` by 19: finite, then beyond a metric, an encoding, float32.
@pytest.mark.parametrize(
    ("steps", "encoding", "is_measured"),
    [
        (15, "f32", True),
        (25, "f32", False),
        (25, "int8_delta", False),
        (5, "f16", False),
        (60, "bf16", True),
    ],
)
def test_however_far_it_is_the_others_are_adapted(line, tmp_path, steps, encoding, is_measured):
    far = task(10.0)
    if not is_measured:
        far = {name: value for name, value in far.items() if not name.startswith("heldout")}
    tasks, left_out = {"a": task(1.0), "far": far, "z": task(0.5)}, dict[str, str]()
    options = AdaptOptions(steps=steps, encoding=encoding)
    adapt_tasks(line, tasks, str(tmp_path), options, left_out=left_out, **NO_LOG)
    assert list(left_out) == ["far"] and left_out["far"].startswith("its adaptation diverged")
    assert sorted(read_index(str(tmp_path))) == ["a", "z"]
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_a_task_without_held_out_data_is_left_out_of_early_stopping(line, tmp_path):
    bare = {name: value for name, value in task(1.0).items() if not name.startswith("heldout")}
    left_out: dict[str, str] = {}
    tasks = {"a": task(1.0), "bare": bare, "z": task(0.5)}
    options = AdaptOptions(steps=3, early_stop=1)
    adapt_tasks(line, tasks, str(tmp_path), options, left_out=left_out, **NO_LOG)
    assert list(left_out) == ["bare"] and "no held-out examples" in left_out["bare"]
    assert sorted(read_index(str(tmp_path))) == ["a", "z"]


def test_a_former_adapter_of_a_task_that_is_left_out_is_told(line, tmp_path):
    said: list[str] = []
    options, how = AdaptOptions(steps=25), {"log": said.append, "left_out": {}}
    first = adapt_tasks(line, {"a": task(0.5)}, str(tmp_path), options, **how)["a"]["adapter"]
    assert not said
    adapt_tasks(line, {"a": task(100.0), "b": task(100.0)}, str(tmp_path), options, **how)
    assert set(how["left_out"]) == {"a", "b"} and read_index(str(tmp_path)) == {"a": first}
    assert [row for row in said if "stays" in row] == [f"a: its former adapter {first[:12]} stays."]


@pytest.mark.parametrize("damage", [b"", b"cut off"])
def test_a_damaged_adapter_is_made_again(line, tmp_path, damage):
    options = AdaptOptions(steps=3)
    (row,) = adapt_tasks(line, {"a": task(1.0)}, str(tmp_path), options, **NO_LOG).values()
    path = tmp_path / f"{row['adapter']}.safetensors"
    whole = path.read_bytes()
    path.write_bytes(damage)
    said: list[str] = []
    adapt_tasks(line, {"a": task(1.0)}, str(tmp_path), options, log=said.append)
    assert path.read_bytes() == whole and not any("replaced" in line for line in said)


def test_a_name_whose_adapter_becomes_another_is_told(line, tmp_path):
    """A second person of one name would take the alias of the first without a word."""
    said: list[str] = []

    def adapted(slope: float, steps: int) -> str:
        tasks, options = {"a": task(slope)}, AdaptOptions(steps=steps)
        said.clear()
        return adapt_tasks(line, tasks, str(tmp_path), options, log=said.append)["a"]["adapter"]

    first = adapted(1.0, 3)
    assert not said
    for slope, steps in ((2.0, 3), (2.0, 4)):
        before, first = first, adapted(slope, steps)
        assert any(row.startswith(f"a: its adapter {before[:12]} is replaced") for row in said)
        assert adapted(slope, steps) == first and not said


@pytest.mark.parametrize("name", ["consent", "licence"])
@pytest.mark.parametrize("text", ["by Ann,\nfor research", "a\tb", "x" * 4001])
def test_texts_that_no_adapter_can_hold_are_refused_before_anything(line, tmp_path, name, text):
    with pytest.raises(UsageError, match=f"options.{name} has .* expected one line"):
        adapt_tasks(line, {"a": task(1.0)}, tmp_path / "out", AdaptOptions(**{name: text}))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_a_link_is_refused(line, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    with pytest.raises(UsageError, match="symbolic link"):
        adapt_tasks(line, {"a": task(1.0)}, tmp_path / "link", AdaptOptions(steps=3), **NO_LOG)
    assert not list((tmp_path / "there").iterdir())
