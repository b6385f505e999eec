"""The trained states beside docs/results/speech.md are of the networks that the configs build."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs import speech
from meta_shrink import ModuleRegistry, open_workdir
from meta_shrink.experiments.warm_start import pretraining_name
from meta_shrink.models import wavenet

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results" / "speech"
STARTS = {
    "sigma_reptile": "3ecc25a080d25348",
    "sea": "645f076aec795830",
    "pitched_sigma_reptile": "0d933f928d1d9cd0",
}
DATA = "bf3129e29458cdc72dde938c5eadd233a961b3e92d28df5eeabb2bb589bbbf94"  # of the 71 speakers
EMPHASISED = "54b5d530504e79ae678a5b02efeac976f52b2ecfde7d0690539aaea9ed8ca180"  # by 0.85
TENSORFLOW = "2.21.0"  # A name is of one version.
RUNS = {  # The arguments of the config.
    "sigma_reptile_100": "sigma_reptile",
    "reptile_100": "reptile",
    "pitched_sigma_reptile_60": "pitched_sigma_reptile",
    "pre_emphasis_sigma_reptile_100": "pitched_sigma_reptile",
}


def registry_of(method: str) -> ModuleRegistry:
    model = speech.get_config(f"quick_{method}").model.to_dict()
    return ModuleRegistry.by_layer(wavenet(seed=0, **{k: model[k] for k in model if k != "name"}))


@pytest.mark.parametrize("method", STARTS)
def test_a_pretrained_start_fits_its_network(method):
    registry = registry_of(method)
    with np.load(FOLDER / "warm_start" / f"pretraining_{STARTS[method]}/step_00012000.npz") as file:
        found = {name: file[name].shape for name in file.files}
        assert all(np.isfinite(file[name]).all() for name in file.files)
    assert found == dict(zip(registry.paths, registry.shapes, strict=True))


@pytest.mark.parametrize("method", [*STARTS, "pretrained"])
def test_a_documented_command_finds_its_start(method):
    if tf.__version__ != TENSORFLOW:
        pytest.skip("another TensorFlow starts anew")
    config: Any = speech.get_config(f"quick_{method}").to_dict()
    options = {key: value for key, value in config["warm_start"].items() if key != "cache"}
    found = pretraining_name(config, options, config["task"], DATA)
    assert found == f"pretraining_{STARTS.get(method, STARTS['sigma_reptile'])}"


@pytest.mark.parametrize("name", RUNS)
def test_a_trained_state_fits_its_network(name):
    run = FOLDER / "runs" / name
    config = json.loads((run / "config.json").read_text())
    meta_steps = name.rpartition("_")[2]
    registry = registry_of(RUNS[name])
    assert (config["adapt"]["steps"], config["train"]["steps"]) == (100, int(meta_steps))
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    shapes = sorted(tuple(shape) for shape in reader.get_variable_to_shape_map().values())
    for shape in set(registry.shapes):
        assert shapes.count(shape) >= registry.shapes.count(shape)
    assert (registry.num_modules,) in shapes


@pytest.mark.parametrize("name", RUNS)
def test_a_trained_state_goes_on_by_the_documented_command(name, tmp_path):
    """Settings that configs have since are at the values that the run had."""
    run = Path(shutil.copytree(FOLDER / "runs" / name, tmp_path / name))
    meta_steps = name.rpartition("_")[2]
    config: Any = speech.get_config(f"quick_{RUNS[name]}").to_dict()
    config["train"]["steps"] = int(meta_steps)  # The configs' own, but for an older one of 60.
    kept = json.loads((run / "config.json").read_text())
    if "data" in kept:  # Older runs have no record.
        config["data"] = EMPHASISED if name.startswith("pre_emphasis") else DATA
    with open_workdir(run, config, log=lambda _: None) as workdir:
        assert not workdir.changed
