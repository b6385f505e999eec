"""The README of a LiteRT export; its example runs as it stands, without TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from meta_shrink.adapters.backbone_info import (
    ArraySpec,
    BackboneInfo,
    argument_name,
)

_HERE = Path(__file__).parent
_TEMPLATE = (_HERE / "model_card.md").read_text(encoding="utf-8")
_ADAPT_TEXT = "\n" + (_HERE / "adapt_card.md").read_text(encoding="utf-8")
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
_SPEAK_ROW = (
    "| `speak` | of the next 5 ms of an utterance `features`, `codes` (-1: to be drawn), `noise` "
    "in (0, 1) a sample, `temperature`; the state `last_code` (at first 128), `past` (at first 0); "
    "the tensors of one adapter | `codes` (8-bit mu-law), the state |\n"
)
_WEIGHTS = {"none": "float32", "float16": "float16", "int8": "8 bits where layers are large"}


def litert_card(info: BackboneInfo, facts: Any) -> str:
    """The README as Markdown.

    Args:
      facts: litert_files.LiteRTFacts.
    """
    one = ", ".join(_zeros(spec, 1) for spec in info.inputs)
    adapt_example = ""
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
        adapt_example = _ADAPT_EXAMPLE.format(
            inputs=task, targets=labels, one=one, steps=recipe.steps
        )
    return _TEMPLATE.format(
        name=info.name,
        algorithm=info.algorithm,
        num_bytes=facts.num_bytes,
        weights=_WEIGHTS[facts.quantise],
        adapter_bytes=4 * sum(math.prod(spec.shape) for spec in info.tensors),
        difference=facts.difference,
        scale=facts.scale,
        one=one,
        adapt_example=adapt_example,
        inputs=_arrays(info.inputs, "B"),
        outputs=_arrays(info.outputs, "B"),
        adapt_row=_ADAPT_ROW.format(
            inputs=_arrays(info.inputs, facts.examples),
            targets=", ".join(f"`{spec.name}`" for spec in recipe.targets),
        )
        if facts.examples
        else "",
        speak_row=_SPEAK_ROW if facts.speak else "",
        adapt_text=_ADAPT_TEXT.format(**options) if facts.examples else "",
    )


def _zeros(spec: ArraySpec, size: int) -> str:
    shape = ", ".join(str(length or 64) for length in (size, *spec.shape))
    return f"{argument_name(spec.name)}=np.zeros([{shape}], np.{spec.dtype})"


def _arrays(specs: Iterable[ArraySpec], size: int | str) -> str:
    return ", ".join(
        f"`{spec.name}` [{', '.join(str(n or '?') for n in (size, *spec.shape))}]" for spec in specs
    )
