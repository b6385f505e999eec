"""Rows and their adapters: one whole number each, whatever the network can do at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from meta_shrink import Backbone, UsageError, save_backbone
from tests.backbones.sources import source_of


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Backbone:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="line")])
    path = str(tmp_path_factory.mktemp("line"))
    save_backbone(source_of(model, ["line"], classification=False), path)
    return Backbone.load(path)


@pytest.fixture(params=[True, False], ids=["mixed", "one after another"])
def backbone(line, request, monkeypatch) -> Backbone:
    monkeypatch.setattr(line, "info", replace(line.info, mixed=request.param))
    return line


@pytest.mark.parametrize(
    ("rows", "index"),
    [
        (5, [0, 1]),
        (2, [0, 1, 0, 1]),
        (1, 0),
        (2, [[0], [1]]),
        (2, [0.0, 0.9]),
        (2, [True, False]),
        (2, [0, 2]),
        (2, [-1, 0]),
        (0, [0]),
    ],
)
def test_other_indices_are_refused(backbone, rows, index):
    inputs = np.zeros([rows, 2], np.float32)
    with pytest.raises(UsageError, match="adapter_index has"):
        backbone.predict_mixed(inputs, [backbone.default] * 2, index)


@pytest.mark.parametrize("index", [[], np.zeros([0], np.int32)])
def test_no_rows_give_no_rows(backbone, index: Any):
    inputs = np.zeros([0, 2], np.float32)
    found = backbone.predict_mixed(inputs, [backbone.default] * 2, index)
    assert found["outputs"].shape == (0, 1) == backbone.predict(inputs)["outputs"].shape


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64])
def test_rows_come_back_in_their_order(backbone, dtype):
    one = backbone.default
    other = replace(one, tensors={name: value + 1 for name, value in one.tensors.items()})
    inputs = np.random.default_rng(0).normal(size=[5, 2]).astype(np.float32)
    index = np.array([1, 0, 1, 1, 0], dtype)
    found = backbone.predict_mixed(inputs, [one, other], index)["outputs"]
    for row, number in enumerate(index):
        alone = backbone.predict(inputs[row : row + 1], [one, other][number])["outputs"]
        np.testing.assert_allclose(found[row], alone[0], rtol=1e-6)
