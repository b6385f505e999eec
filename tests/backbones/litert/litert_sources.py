"""What runs and reads LiteRT files, and the same computations in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ExportSource, Task, negative_log_likelihood
from meta_shrink.adaptation import adaptation
from meta_shrink.adapters.backbone_info import argument_name
from meta_shrink.backbones.source import adapter_tensors, call_model, split_adapter
from meta_shrink.keras_model import moments
from meta_shrink.proximal import TASK_OPTIMIZERS
from meta_shrink.variable_paths import relative_path
from tests.backbones.sources import small_convnet

WAYS, EXAMPLES = 3, 6
Arrays = Mapping[str, np.ndarray]


def network(**options: Any) -> keras.Model:
    """Two blocks of 16 filters on 16x16 images: large enough that 8 bits make a difference."""
    return small_convnet(image_size=16, filters=16, **({"downsampling": "stride"} | options))


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, [count, 16, 16, 1]).astype("float32")


def labels(count: int = EXAMPLES) -> np.ndarray:
    return (np.arange(count) % WAYS).astype("int32")


def interpreter_of(content: bytes) -> Any:
    module = pytest.importorskip("ai_edge_litert.interpreter")
    return module.Interpreter(model_content=content, num_threads=1)


def run(content: bytes, signature: str, **arguments: Any) -> dict[str, np.ndarray]:
    return interpreter_of(content).get_signature_runner(signature)(**arguments)


def operations(content: bytes) -> dict[str, Counter[str]]:
    """Names of the operations in each part of a file: its signatures and the bodies of loops."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    codes = [names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]
    return {
        graph.name.decode(): Counter(codes[op.opcodeIndex] for op in graph.operators or [])
        for graph in model.subgraphs
    }


def arguments_of(adapter: Arrays) -> dict[str, np.ndarray]:
    return {argument_name(name): np.asarray(value) for name, value in adapter.items()}


def variables_of(source: ExportSource, adapter: Arrays) -> dict[str, np.ndarray]:
    """The arguments of adapt among the tensors of an adapter."""
    own = {spec.name for spec in adapter_tensors(source) if spec.kind == "variable"}
    return arguments_of({name: value for name, value in adapter.items() if name in own})


def by_keras(source: ExportSource, inputs: Arrays, adapter: Arrays) -> np.ndarray:
    """Outputs of the network in memory."""
    theta, state = split_adapter(source, {k: tf.constant(v) for k, v in adapter.items()})
    given = {name: tf.constant(value) for name, value in inputs.items()}
    return call_model(source.model, theta, state, given, training=False)["outputs"].numpy()


def adapted_by_keras(
    source: ExportSource, inputs: np.ndarray, targets: np.ndarray, steps: int
) -> dict[str, np.ndarray]:
    """The adapter that meta_shrink.adaptation makes from phi."""
    model, registry = source.model, source.registry
    optimizer = TASK_OPTIMIZERS[source.adaptation.optimizer["name"]]()
    nll = negative_log_likelihood(model, source.example_loss)
    pieces = adaptation(nll, optimizer, registry, modules=source.selection.modules)
    task = Task((tf.constant(inputs), tf.constant(targets)), (), tf.constant([0, 0]))
    theta = pieces.advance(source.meta, task, pieces.start(source.meta), steps).theta
    values = dict(zip(registry.paths, theta, strict=True))
    state = moments(model, theta, tf.constant(inputs))
    paths = [relative_path(model, v) for v in model.non_trainable_variables]
    values |= {path: value for path, value in zip(paths, state, strict=True)}
    wanted = [spec.name for spec in adapter_tensors(source)]
    return {name: np.asarray(values[name]) for name in wanted}


def some_adapter(source: ExportSource, seed: int) -> dict[str, np.ndarray]:
    """One whose moments fit the images, so that no ReLU is silent throughout."""
    return adapted_by_keras(source, images(EXAMPLES, seed), labels(), 3)


def loss_of(source: ExportSource, inputs: np.ndarray, targets: np.ndarray, adapter: Arrays):
    """Mean loss of the examples, batch norm by batch statistics."""
    theta, _ = split_adapter(source, {k: tf.constant(v) for k, v in adapter.items()})
    nll = negative_log_likelihood(source.model, source.example_loss)
    return float(nll(theta, (tf.constant(inputs), tf.constant(targets))))


def by_name(source: ExportSource, arguments: Arrays) -> dict[str, np.ndarray]:
    """Tensors of a signature by the names of an adapter."""
    return {spec.name: arguments[argument_name(spec.name)] for spec in adapter_tensors(source)}
