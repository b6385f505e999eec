"""A task whose adaptation diverges is left out and named; the others have their adapters."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from meta_shrink import AdaptOptions, Backbone, DataError, adapt_tasks, save_backbone
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
