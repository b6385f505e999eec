"""The folder for a device: its README runs without TensorFlow, its adapters are the backbone's."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from meta_shrink import UsageError, load_adapter, save_backbone, save_litert
from meta_shrink.adapters.backbone_info import DEFAULT_FILE, INFO_FILE, info_from_json
from meta_shrink.backbones.litert.writing import MODEL_FILE
from tests.backbones.litert.litert_sources import EXAMPLES, network, run
from tests.backbones.sources import source_of

pytest.importorskip("ai_edge_litert")
WITHOUT_TENSORFLOW = """import sys
for name in ("tensorflow", "keras", "meta_shrink"):
    sys.modules[name] = None
"""


@pytest.fixture(scope="module")
def source():
    return source_of(network(), ["conv_1", "bn_1", "output"])


@pytest.fixture(scope="module")
def device(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("device")
    save_litert(source, str(path), examples=EXAMPLES)
    return path


def example_of(folder: Path) -> Path:
    """The example of a README as a program beside it."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    path = folder / "example.py"
    path.write_text(code)
    return path


def run_example(python: str, folder: Path, first: str = "") -> subprocess.CompletedProcess[str]:
    path = example_of(folder)
    path.write_text(first + path.read_text())
    return subprocess.run(
        [python, "-I", path.name], cwd=folder, capture_output=True, text=True, timeout=3600
    )


def test_the_readmes_example_runs_without_tensorflow(device):
    result = run_example(sys.executable, device, WITHOUT_TENSORFLOW)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("'outputs': array(") == 2
    with np.load(device / "mine.npz", allow_pickle=False) as mine:
        assert {"conv_1__kernel", "bn_0__moving_mean"} <= set(mine.files)
        assert all(np.isfinite(mine[name]).all() for name in mine.files)


def test_the_readmes_example_refuses_an_adapter_of_another_backbone(device, tmp_path):
    save_litert(source_of(network(seed=1), ["output"]), str(tmp_path))
    content = (device / DEFAULT_FILE).read_bytes()
    (tmp_path / DEFAULT_FILE).write_bytes(content)
    result = run_example(sys.executable, tmp_path)
    assert "is an adapter of another backbone" in result.stderr


@pytest.mark.slow
def test_the_readmes_example_runs_in_a_clean_environment(device, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q", "numpy", "ai-edge-litert", "safetensors"]
    subprocess.run(install, check=True, timeout=3600)
    result = run_example(python, device)
    assert result.returncode == 0, result.stderr
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True)
    assert "tensorflow" not in listed.stdout.lower()


def test_adapters_of_the_backbone_fit(source, device, tmp_path):
    """The SavedModel of the same source has the same fingerprint and the same default adapter."""
    info = info_from_json((device / INFO_FILE).read_bytes(), INFO_FILE)
    backbone = save_backbone(source, str(tmp_path))
    # No SavedModel beside it, whose program could be altered.
    assert info == dataclasses.replace(backbone, program_sha256="")
    adapter = load_adapter(str(device / DEFAULT_FILE), info, sha256=backbone.default_sha256)
    got = run((device / MODEL_FILE).read_bytes(), "default_adapter")
    for name, value in adapter.tensors.items():
        np.testing.assert_array_equal(got[name.replace("/", "__")], value)


def test_facts_are_measured_and_told(source, tmp_path):
    facts = save_litert(source, str(tmp_path), quantise="float16")
    assert 1e-5 * facts.scale < facts.difference < 1e-2 * facts.scale
    assert facts.num_bytes == (tmp_path / MODEL_FILE).stat().st_size
    readme = (tmp_path / "README.md").read_text()
    assert f"{facts.num_bytes:,} | the network; weights: float16" in readme
    assert "`adapt`" not in readme


def test_a_folder_that_can_not_be_written_is_told(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        save_litert(source, str(tmp_path / "file"))


def test_a_network_that_litert_converts_and_does_not_run_is_told(tmp_path):
    """Its Fourier transform takes powers of two alone, which the converter does not check."""
    x = keras.Input((6,))
    both = keras.layers.Concatenate()(keras.ops.rfft(x))
    model = keras.Model(x, keras.layers.Dense(2, name="last")(both))
    with pytest.raises(UsageError, match=r"cannot run it \(.+\): export the SavedModel instead"):
        save_litert(source_of(model, ["last"], classification=False), tmp_path / "device")
    assert not (tmp_path / "device").exists()
