"""Configs for the benchmarks, read from their files as `launch.train --config` does."""

import runpy
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def config_of(name, argument) -> Any:
    """The config of configs/name.py:argument."""
    return runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"](argument)


def sinusoid(algorithm) -> Any:
    """The config of configs/sinusoid.py:algorithm."""
    return config_of("sinusoid", algorithm)
