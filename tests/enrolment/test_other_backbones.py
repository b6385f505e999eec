"""A folder of adapters is of one backbone: what another one leaves there, and who is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from meta_shrink import AdapterBank, Backbone, UsageError, adapt_tasks, save_backbone
from meta_shrink.adapters.index import of_other_backbones, read_index
from meta_shrink.enrolment.adapt_tasks import AdaptOptions
from tests.backbones.sources import small_convnet, source_of
from tests.refusals import refusals
from tests.tiny_runs import NO_LOG

RNG, LABELS = np.random.default_rng(0), np.arange(9, dtype=np.int32) % 3
SHORT = AdaptOptions(steps=1)


def tasks(names: str) -> dict:
    return {n: (RNG.integers(0, 256, [9, 8, 8, 1]).astype(np.uint8), LABELS) for n in names}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.fixture(scope="module", params=["weights", "modules"])
def other(request, tmp_path_factory):
    """A backbone with other weights, or with other task-specific modules."""
    model = small_convnet()
    if request.param == "weights":
        model.set_weights([w + 0.01 for w in model.get_weights()])
    selected = ["conv_1", "bn_1", "output"] if request.param == "weights" else ["output"]
    path = str(tmp_path_factory.mktemp("other"))
    save_backbone(source_of(model, selected), path)
    return Backbone.load(path)


def test_adapters_of_another_backbone_are_not_left_beside_new_ones(backbone, other, tmp_path):
    adapt_tasks(backbone, tasks("abcd"), str(tmp_path), SHORT, **NO_LOG)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=r"names 3 adapter\(s\) of another backbone .* b, c, d;"):
        adapt_tasks(other, tasks("ae"), str(tmp_path), SHORT, **NO_LOG)
    assert contents(tmp_path) == before
    # All of them are adapted again: none is left.
    adapt_tasks(other, tasks("abcde"), str(tmp_path), SHORT, **NO_LOG)
    index = read_index(str(tmp_path))
    assert sorted(index) == list("abcde") and not of_other_backbones(
        str(tmp_path), index, other.info
    )
    adapt_tasks(other, tasks("f"), str(tmp_path), SHORT, **NO_LOG)


def test_a_server_names_them_and_does_not_start_with_them_alone(backbone, other, folder, tmp_path):
    adapt_tasks(other, tasks("ab"), str(tmp_path), SHORT, **NO_LOG)
    arguments = [f"--backbone={folder}", f"--adapters={tmp_path}", "--port=0"]
    ((code, said),) = refusals("serve", arguments)
    assert code == 2 and "2 of 2 names in" in said and "a, b; give the backbone" in said
    own = adapt_tasks(backbone, tasks("c"), str(tmp_path / "own"), SHORT, **NO_LOG)["c"]["adapter"]
    index = json.loads((tmp_path / "index.json").read_text()) | {"c": own, "gone": "0" * 64}
    (tmp_path / "index.json").write_text(json.dumps(index))
    file = f"{own}.safetensors"
    (tmp_path / file).write_bytes((tmp_path / "own" / file).read_bytes())
    bank = AdapterBank(backbone, str(tmp_path))
    assert bank.others() == ["a", "b"] and bank.aliases() == ["a", "b", "c", "gone"]
