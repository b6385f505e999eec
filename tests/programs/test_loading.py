"""A backbone that one program takes is one that all of them can be told to take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meta_shrink import programs

LOADING = ("adapt", "enroll", "export-backbone", "serve", "synthesize")


@pytest.mark.parametrize("program", LOADING)
def test_operations_can_be_allowed_where_a_backbone_is_loaded(program):
    command = [sys.executable, "-m", "meta_shrink", program, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--allow_operations" in done.stdout


def test_programs_load_backbones_by_that_flag_alone():
    (folder,) = programs.__path__
    calls = [
        path.name for path in Path(folder).glob("*.py") if "Backbone.load(" in path.read_text()
    ]
    assert calls == ["loading.py"]
