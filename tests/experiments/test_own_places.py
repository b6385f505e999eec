"""Folders that the library takes are texts or paths; an export takes one selection."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import meta_shrink as ms
from meta_shrink.experiments.export_source import source_from_workdir
from tests.tiny_runs import NO_LOG

DRAWN = np.random.default_rng(0)
TASKS = {f"task_{n}": (DRAWN.normal(size=[8, 3]), DRAWN.normal(size=[8, 1])) for n in range(8)}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    given = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(4, "tanh", name="hidden")(given)
    model = keras.Model(given, keras.layers.Dense(1, name="level")(hidden))
    workdir = tmp_path_factory.mktemp("places") / "run"
    return ms.fit(model, TASKS, workdir, loss="squared_error", steps=2, **NO_LOG)


def test_every_folder_may_be_a_path(fitted, tmp_path):
    workdir, own = tmp_path.__class__(fitted.workdir), {"components": fitted.components}
    assert ms.restore(workdir, fitted.components)[2] == 2
    assert ms.evaluate(workdir, **own, **NO_LOG)["meta_step"] == 2
    source = source_from_workdir(workdir, modules=["level"], **own, **NO_LOG).source
    ms.save_backbone(source, tmp_path / "saved")
    backbone = fitted.export(tmp_path / "backbone", modules=["level"], **NO_LOG)
    assert ms.Backbone.load(tmp_path / "backbone").info == backbone.info
    new, options = {"a": TASKS["task_0"]}, ms.AdaptOptions(steps=2)
    found = ms.adapt_tasks(backbone, new, tmp_path / "adapters", options, **NO_LOG)
    inputs, targets = new["a"]
    np.savez(tmp_path / "b.npz", inputs=inputs, targets=targets)
    ms.adapt_tasks(backbone, tmp_path / "b.npz", tmp_path / "adapters", options, **NO_LOG)
    with ms.AdapterBank(backbone, tmp_path / "adapters").pinned("b") as adapter:
        assert adapter.id == found["a"]["adapter"]
        path = tmp_path / "adapters" / f"{adapter.id}.safetensors"
        assert backbone.load_adapter(path).id == adapter.id
    assert ms.open_workdir(tmp_path / "w", fitted.experiment.config, **NO_LOG)


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({"rule": "gap"}, "rule and value go together"),
        ({"value": 3}, "rule and value go together"),
        ({"rule": "top_k", "value": 1, "modules": ["level"]}, "give one of them"),
        ({"modules": "level"}, "modules is 'level'; expected a list"),
        ({"modules": []}, r"modules is \[\]; expected a list of names, one at least"),
        ({"modules": ["levle"]}, "No module 'levle'"),
    ],
)
def test_a_selection_is_whole_and_one(fitted, tmp_path, selection, words):
    with pytest.raises(ms.UsageError, match=words):
        fitted.export(str(tmp_path / "out"), **selection, **NO_LOG)
    assert not (tmp_path / "out").exists()


def test_a_bank_of_half_an_adapter_is_refused(fitted, tmp_path):
    for count in (0, 1.5, "2"):
        with pytest.raises(ms.UsageError, match=r"max_resident is .*; expected a"):
            ms.AdapterBank(None, tmp_path, max_resident=count)  # type: ignore[arg-type]
