"""Importing this module stops with one clear sentence where no TensorFlow is installed.

TensorFlow comes as three distributions of one module, so no one of them can be a plain dependency:
installing it would overwrite another. Import this before `import tensorflow` (ruff's import order
has a section for it).
"""

from __future__ import annotations

import importlib.util

_EXTRAS = {
    "cpu": "tensorflow-cpu, for a CPU",
    "gpu": "tensorflow with CUDA, for NVIDIA GPUs",
    "tpu": "tensorflow-tpu, for TPU VMs",
}


def require_tensorflow() -> None:
    """Check that some TensorFlow can be imported, without importing it.

    Raises:
      ModuleNotFoundError: none is there; the message says what to install.
    """
    if importlib.util.find_spec("tensorflow") is None:
        choices = "; ".join(
            f"pip install 'meta_shrink[{extra}]' ({what})" for extra, what in _EXTRAS.items()
        )
        raise ModuleNotFoundError(
            f"meta_shrink needs TensorFlow and none is installed: {choices}.", name="tensorflow"
        )


require_tensorflow()
