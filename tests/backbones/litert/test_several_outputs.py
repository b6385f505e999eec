"""Networks with several outputs as LiteRT files: served and adapted as TensorFlow does it."""

from __future__ import annotations

import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import negative_log_likelihood, save_litert
from meta_shrink.adapters.backbone_info import ArraySpec, argument_name
from meta_shrink.backbones.litert.writing import MODEL_FILE
from meta_shrink.backbones.source import input_specs, output_names
from tests.backbones.litert.litert_sources import run
from tests.backbones.sources import source_of
from tests.backbones.test_names_and_outputs import STRUCTURES, X, sum_of_squares

pytest.importorskip("ai_edge_litert")
RATE = 0.01


@pytest.mark.parametrize("kind", STRUCTURES)
def test_several_outputs_are_served_and_adapted_on_the_device(kind, tmp_path):
    make, names = STRUCTURES[kind]
    model = make()
    assert list(output_names(model)) == names
    source = source_of(model, ["head"], classification=False, sigma2=1e6, rate=RATE)
    specs = tuple(ArraySpec("", (3,), "float32") for _ in names)
    source = source._replace(targets=specs, example_loss=sum_of_squares)
    save_litert(source, str(tmp_path), examples=6)
    content, inputs = (tmp_path / MODEL_FILE).read_bytes(), X.astype(np.float32)
    (name,) = (argument_name(spec.name) for spec in input_specs(model))
    adapter = run(content, "default_adapter")
    served = run(content, "serve", **{name: inputs[:1]}, **adapter)
    x = {"x": inputs} if kind == "dict" else inputs
    outputs = keras.tree.flatten(model(keras.tree.map_structure(tf.constant, x)))
    for output, value in zip(names, outputs, strict=True):
        np.testing.assert_allclose(served[output], value[:1], rtol=1e-5, atol=1e-6)

    targets = {o: np.full([6, 3], n + 1, np.float32) for n, o in enumerate(names)}
    given = {f"targets_{output}": value for output, value in targets.items()}
    variables = {n: v for n, v in adapter.items() if n.startswith("head")}
    adapted = run(content, "adapt", **{name: inputs}, **given, **variables, num_steps=np.int32(1))
    params = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    structure = model(keras.tree.map_structure(tf.constant, x))
    aims = keras.tree.pack_sequence_as(structure, [tf.constant(targets[n]) for n in names])
    with tf.GradientTape() as tape:
        tape.watch(params)
        loss = negative_log_likelihood(model, sum_of_squares)(params, (x, aims))
    kernel, _ = tape.gradient(loss, params)
    np.testing.assert_allclose(
        adapted["head__kernel"], params[0] - RATE * kernel, rtol=1e-3, atol=1e-5
    )

    readme = (tmp_path / "README.md").read_text()
    for output in names:
        assert f"`targets_{output}`" in readme
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
