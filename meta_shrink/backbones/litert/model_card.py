"""The README of a LiteRT export; its example runs as it stands, without TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from meta_shrink.adapters.backbone_info import (
    ArraySpec,
    BackboneInfo,
    argument_name,
)

_TEMPLATE = """# {name} for LiteRT

A backbone of meta_shrink ({algorithm}) in one file for phones and boards: builtin operations only,
no TensorFlow. A task is a small adapter, which is an input of the model: tasks are swapped by
passing other tensors.

| file | bytes | what |
| --- | --- | --- |
| `model.tflite` | {num_bytes:,} | the network; weights: {weights} |
| `default.safetensors` | | the adapter of the shared network itself |
| `backbone.json` | | names, shapes, modules, and the fingerprint that adapters name |

An adapter has {adapter_bytes:,} bytes of tensors in float32. On a fixed input the outputs differ
from TensorFlow's by at most {difference:.2g} (the largest is {scale:.2g}).

## Use it

`pip install ai-edge-litert numpy safetensors`, then in this folder:

```python
{example}```

| signature | inputs | outputs |
| --- | --- | --- |
| `serve` | {inputs}, the tensors of one adapter | {outputs} |
| `default_adapter` | - | the adapter of the shared network, with weights as they are stored here |
{adapt_row}
Adapter tensors are called as in the adapter file, with `__` for `/`. B is free. The example
reads adapter files in f32 (`meta-shrink adapt --encoding=f32`, the default); `meta-shrink verify`
checks one.
{adapt_text}"""

_EXAMPLE = """import json

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from safetensors import safe_open


def read_adapter(path):
    with safe_open(path, "numpy") as file:
        made_for = json.loads(file.metadata()["meta_shrink"])["backbone"]
        with open("backbone.json") as backbone:
            if made_for["weights_sha256"] != json.load(backbone)["weights_sha256"]:
                raise ValueError(f"{{path}} is an adapter of another backbone")
        return {{name.replace("/", "__"): file.get_tensor(name) for name in file.keys()}}


interpreter = Interpreter("model.tflite")
serve = interpreter.get_signature_runner("serve")
adapter = read_adapter("default.safetensors")
print(serve({inputs}, **adapter))
"""

_ADAPT_EXAMPLE = """
adapt = interpreter.get_signature_runner("adapt")
variables = {{name: adapter[name] for name in adapt.get_input_details() if name in adapter}}
mine = adapt(
    {inputs},  # the task's examples
    {targets},
    num_steps=np.int32({steps}),
    **variables,
)
print(serve({one}, **mine))
np.savez("mine.npz", **mine)
"""

_ADAPT_ROW = (
    "| `adapt` | {inputs}, {targets}, `num_steps`, the adapter's variables "
    "| the adapter after that many steps |\n"
)
_ADAPT_TEXT = """
`adapt` takes exactly {examples} examples (repeat some where there are fewer) and makes
{optimizer} steps from the given variables towards the shared network, for the modules
{modules} only; the recipe has {steps} steps. Every step sees all examples without
augmentation, and a second call goes on from the variables of the first{restart}. The moments it
returns are those of the adapted network over the examples.
"""
_WEIGHTS = {"none": "float32", "float16": "float16", "int8": "8 bits where layers are large"}


def litert_card(info: BackboneInfo, facts: Any) -> str:
    """The README as Markdown.

    Args:
      facts: litert_files.LiteRTFacts.
    """
    one = ", ".join(_zeros(spec, 1) for spec in info.inputs)
    example = _EXAMPLE.format(inputs=one)
    recipe = info.adaptation
    options = {
        "steps": recipe.steps,
        "examples": facts.examples,
        "optimizer": recipe.optimizer["name"],
        "modules": ", ".join(info.selected),
        "restart": ", with the optimizer's state anew"
        if recipe.optimizer["name"] != "proximal_gd"
        else "",
    }
    if facts.examples:
        task = ", ".join(_zeros(spec, facts.examples) for spec in info.inputs)
        labels = ", ".join(_zeros(spec, facts.examples) for spec in recipe.targets)
        example += _ADAPT_EXAMPLE.format(inputs=task, targets=labels, one=one, steps=recipe.steps)
    return _TEMPLATE.format(
        name=info.name,
        algorithm=info.algorithm,
        num_bytes=facts.num_bytes,
        weights=_WEIGHTS[facts.quantise],
        adapter_bytes=4 * sum(math.prod(spec.shape) for spec in info.tensors),
        difference=facts.difference,
        scale=facts.scale,
        example=example,
        inputs=_arrays(info.inputs, "B"),
        outputs=_arrays(info.outputs, "B"),
        adapt_row=_ADAPT_ROW.format(
            inputs=_arrays(info.inputs, facts.examples),
            targets=", ".join(f"`{spec.name}`" for spec in recipe.targets),
        )
        if facts.examples
        else "",
        adapt_text=_ADAPT_TEXT.format(**options) if facts.examples else "",
    )


def _zeros(spec: ArraySpec, size: int) -> str:
    shape = ", ".join(str(length or 64) for length in (size, *spec.shape))
    return f"{argument_name(spec.name)}=np.zeros([{shape}], np.{spec.dtype})"


def _arrays(specs: Iterable[ArraySpec], size: int | str) -> str:
    return ", ".join(
        f"`{spec.name}` [{', '.join(str(n or '?') for n in (size, *spec.shape))}]" for spec in specs
    )
