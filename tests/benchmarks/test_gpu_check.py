"""benchmarks/gpu_check.py: its table, and a row on whatever device there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu_check

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_names_what_failed():
    found = {
        ("a", "float32"): {"compile": 1.0, "ms": 2.5, "mib": 3.0, "error": 4e-6, "gpu": True},
        ("a", "default"): {"failed": "out of memory"},
    }
    lines = gpu_check.table(found)
    assert "on the GPU." in lines[0]
    assert lines[4] == "| a | float32 | 1.0 | 2.5 | 3 | 4.0e-06 |"
    assert lines[5] == "| a | default | failed: out of memory |  |  |  |"


def test_every_row_is_a_config():
    for name in gpu_check.ROWS:
        assert gpu_check.config_of(name, "float32")["warm_start"]["steps"] == 0


@pytest.mark.slow
def test_a_row_without_a_gpu_says_so():
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--only=sinusoid"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| sinusoid, sigma-iMAML | float32 | " in done.stdout
    assert "on the GPU" in done.stdout or "on the CPU: no GPU was found" in done.stdout
