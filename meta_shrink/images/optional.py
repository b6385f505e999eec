"""Packages of the extra `images`: needed where files are read, not where tasks are described."""

from __future__ import annotations

import importlib
from typing import Any

from meta_shrink.errors import UsageError


def optional_module(name: str) -> Any:
    """The module, imported at its first use: a cached data set needs no tensorflow-datasets.

    Raises:
      UsageError: it is not installed, or lacks a module of its own.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"Reading images needs {name}, which cannot be imported ({error}): "
            "pip install 'meta_shrink[images]'."
        ) from error
