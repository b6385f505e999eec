"""Configs for the benchmarks, read from their files as `launch.train --config` does."""

import runpy
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def sinusoid(algorithm) -> Any:
    """The config of configs/sinusoid.py:algorithm."""
    return runpy.run_path(str(CONFIGS / "sinusoid.py"))["get_config"](algorithm)
