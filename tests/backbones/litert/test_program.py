"""export.litert as a user runs it, on a short run of the sinusoids."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.backbones.litert.test_writing import WITHOUT_TENSORFLOW, run_example
from tests.system.test_programs import ROOT, run, settings

pytest.importorskip("ai_edge_litert")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    path = tmp_path_factory.mktemp("sinusoid")
    config = "--config=configs/sinusoid.py:sigma_maml"
    run("train", config, f"--workdir={path}", *settings(2, **{"eval.num_tasks": 2}))
    return path


def export(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "export.litert", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600)


def test_a_run_is_exported_and_its_readme_runs(workdir, tmp_path):
    options = ["--rule=top_k", "--value=1", "--adapt", "--examples=10"]
    result = export(f"--workdir={workdir}", f"--out={tmp_path}", *options)
    assert result.returncode == 0, result.stderr
    assert "bytes; differs from TensorFlow by at most" in result.stdout
    example = run_example(sys.executable, tmp_path, WITHOUT_TENSORFLOW)
    assert example.returncode == 0, example.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--adapt"], "--adapt and --examples go together"),
        (["--modules=layer_9"], "No module 'layer_9'"),
        (["--quantise=int4"], "quantise"),
    ],
)
def test_wrong_flags_end_in_one_sentence(options, message, workdir, tmp_path):
    result = export(f"--workdir={workdir}", f"--out={tmp_path / 'out'}", *options)
    assert result.returncode == 2
    (line, *_) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "out").exists()
