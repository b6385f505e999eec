"""What a server says about its model, in the shape of TensorFlow Serving's model API."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.adapters.reading import Adapter
from meta_shrink.serving.predict_request import SIGNATURE
from meta_shrink.serving.protocol import ServedBackbone

_DTYPES = {
    "float16": "DT_HALF",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "bool": "DT_BOOL",
}


def version(backbone: ServedBackbone) -> str:
    """The version in the backbone's path, "1" if it has none."""
    name = os.path.basename(os.path.normpath(backbone.path))
    return name if name.isascii() and name.isdigit() else "1"


def status(backbone: ServedBackbone, *, ready: bool) -> dict[str, Any]:
    """The answer to GET /v1/models/NAME."""
    state = "AVAILABLE" if ready else "UNLOADING"
    error = {"error_code": "OK", "error_message": ""}
    entry = {"version": version(backbone), "state": state, "status": error}
    return {"model_version_status": [entry]}


def metadata(backbone: ServedBackbone, name: str) -> dict[str, Any]:
    """The answer to GET /v1/models/NAME/metadata: signature, fingerprint, modules, no adapters."""
    info = backbone.info
    signature = {
        "inputs": _tensors(info.inputs),
        "outputs": _tensors(info.outputs),
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": version(backbone)},
        "metadata": {
            "signature_def": {"signature_def": {SIGNATURE: signature}},
            "meta_shrink": {
                "algorithm": info.algorithm,
                "backbone": info.fingerprint,
                "modules": list(info.selected),
                "mixed": info.mixed,
            },
        },
    }


def modules_of(backbone: ServedBackbone, adapter: Adapter) -> list[dict[str, Any]]:
    """The task-specific modules; "moved": root mean square of theta - phi; "sigma": of the prior,
    None where it is infinite.
    """
    info, phi = backbone.info, backbone.default.tensors
    rows = []
    for module in info.modules:
        names = [spec.name for spec in info.tensors if spec.module == module.name]
        if module.selected:
            moves = [np.ravel(adapter.tensors[name] - phi[name]) for name in names]
            moved = float(np.sqrt(np.mean(np.concatenate(moves) ** 2)))
            sigma = None if module.sigma2 is None else math.sqrt(module.sigma2)
            row = {"name": module.name, "parameters": module.size, "sigma": sigma, "moved": moved}
            rows.append(row)
    return rows


def _tensors(specs: Sequence[ArraySpec]) -> dict[str, Any]:
    return {spec.name: _tensor(spec) for spec in specs}


def _tensor(spec: ArraySpec) -> dict[str, Any]:
    sizes = [-1, *(-1 if size is None else size for size in spec.shape)]
    dims = [{"size": str(size), "name": ""} for size in sizes]
    dtype = np.dtype(spec.dtype).name
    return {
        "dtype": _DTYPES.get(dtype, f"DT_{dtype.upper()}"),
        "tensor_shape": {"dim": dims, "unknown_rank": False},
        "name": spec.name,
    }
