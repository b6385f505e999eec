"""Small networks to export, with random phi, moments and sigma^2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink import (
    ExportSource,
    MetaParams,
    ModuleRegistry,
    Selection,
    cross_entropy,
    squared_error,
)
from meta_shrink.adapters.backbone_info import ArraySpec, Recipe
from meta_shrink.models.convnet import convnet


def small_convnet(**options: Any) -> keras.Model:
    """Two blocks of 4 filters on 8x8 images, 3 classes."""
    given: dict[str, Any] = {"image_size": 8, "channels": 1, "classes": 3, "filters": 4}
    return convnet(**({"seed": 0, "blocks": 2, "downsampling": "pool"} | given | options))


def source_of(
    model: keras.Model,
    modules: Sequence[str],
    *,
    classification: bool = True,
    sigma2: float | Sequence[float] = 2.0,
    rate: float | Sequence[float] = 0.1,
    **recipe: Any,
) -> ExportSource:
    """A source in which these modules are task-specific."""
    registry, rng = ModuleRegistry.by_layer(model), np.random.default_rng(0)
    count = registry.num_modules
    shape = tuple(model.outputs[0].shape[1:])
    loss = "cross_entropy" if classification else "squared_error"
    targets = ArraySpec("targets", shape[:-1], "int32")
    return ExportSource(
        name="small",
        algorithm="sigma_maml",
        model=model,
        registry=registry,
        meta=MetaParams(
            [tf.constant(v.numpy()) for v in model.trainable_variables],
            _logs(sigma2, count),
            _logs(rate, count),
        ),
        state=[
            v.numpy() + rng.uniform(0.0, 0.5, v.shape).astype(v.dtype)
            if "float" in v.dtype
            else v.numpy()
            for v in model.non_trainable_variables
        ],
        selection=Selection("named", 0.0, tuple(modules), 0.1, 0),
        example_loss=cross_entropy() if classification else squared_error(),
        targets=targets if classification else ArraySpec("targets", shape, "float32"),
        adaptation=Recipe(**{"steps": 5, "loss": {"name": loss}, "metric": loss, **recipe}),
        probe_range=(0.0, 256.0),
    )


def _logs(values: float | Sequence[float], count: int) -> tf.Tensor:
    """[count] logarithms of one number or of one a module."""
    return tf.constant(np.log(np.broadcast_to(values, [count])), tf.float32)


def random_tensors(default: Any, seed: int, scale: float = 0.1) -> dict[str, np.ndarray]:
    """Adapter tensors near those of phi; moments stay positive."""
    rng = np.random.default_rng(seed)
    return {
        name: (value + scale * rng.uniform(0, 1, value.shape)).astype(np.float32)
        for name, value in default.items()
    }
