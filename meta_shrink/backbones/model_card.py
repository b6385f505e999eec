"""The README of an exported backbone: what it is, how to call it, how large its adapters are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meta_shrink.adapters.backbone_info import ArraySpec, BackboneInfo, argument_name

_TEMPLATE = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")


def card(info: BackboneInfo, *, version: int) -> str:
    """The README as Markdown."""
    variables = [spec for spec in info.tensors if spec.kind == "variable"]
    count = sum(math.prod(spec.shape) for spec in variables)
    moments = sum(math.prod(spec.shape) for spec in info.tensors) - count
    scales = sum(spec.shape[-1] if spec.shape else 1 for spec in variables)
    network = 4 * sum(module.size for module in info.modules)
    payload = {
        "f32": 4 * (count + moments),
        "f16, bf16": 2 * count + 4 * moments,
        "int8_delta": count + 4 * (scales + moments),
    }
    return _TEMPLATE.format(
        name=info.name,
        algorithm=info.algorithm,
        share=count / max(sum(module.size for module in info.modules), 1),
        version=version,
        example=", ".join(f"{argument_name(spec.name)}={_example(spec)}" for spec in info.inputs),
        argument=_argument(info),
        inputs=_arrays(info.inputs),
        outputs=_arrays(info.outputs),
        mixed="the same, each row by its adapter"
        if info.mixed
        else f"(missing: {info.mixed_reason}; such batches are served adapter by adapter)",
        rule=info.selection["rule"],
        value=info.selection["value"],
        modules="\n".join(
            f"| {m.name} | {m.size:,} | {'none' if m.sigma2 is None else f'{m.sigma2:.3g}'} | "
            f"{'yes' if m.selected else ''} |"
            for m in info.modules
        ),
        tensors=len(info.tensors),
        variables=count,
        moments=moments,
        sizes="\n".join(
            f"| {name} | {size:,} | {size / network:.2%} |" for name, size in payload.items()
        ),
        metrics=_metrics(info.metrics),
        limits=_limits(info),
        atol=info.probe.atol,
        fingerprint=info.weights_sha256[:16],
    )


def _example(spec: ArraySpec) -> str:
    shape = ", ".join(str(size or 64) for size in (1, *spec.shape))
    return f"tf.zeros([{shape}], tf.{spec.dtype})"


def _argument(info: BackboneInfo) -> str:
    """Python for the argument of the adapter's tensor k: a slash is "__", unless more differs."""
    plain = all(argument_name(x.name) == x.name.replace("/", "__") for x in info.tensors)
    names = {spec.name: argument_name(spec.name) for spec in info.tensors}
    return 'k.replace("/", "__")' if plain else f"{names}[k]"


def _arrays(specs: tuple[ArraySpec, ...]) -> str:
    return ", ".join(
        f"`{spec.name}` [{', '.join(['B', *(str(size or '?') for size in spec.shape)])}]"
        for spec in specs
    )


def _metrics(metrics: Mapping[str, Any]) -> str:
    if not metrics:
        return "Not measured at export."
    lines = [
        f"{metrics['name']} of {metrics['num_tasks']} held-out tasks, adapted and served by this "
        "backbone (mean ± 95 % of the mean):",
        "",
        "| adaptation steps | " + metrics["name"] + " |",
        "| --- | --- |",
    ]
    rows = zip(metrics["steps"], metrics["mean"], metrics["ci95"], strict=True)
    for step, mean, ci95 in rows:
        interval = f" ± {ci95:.4f}" if ci95 > 0 else ""  # A single task has none.
        lines.append(f"| {step} | {mean:.4f}{interval} |")
    return "\n".join(lines)


def _limits(info: BackboneInfo) -> str:
    recipe = info.adaptation
    steps, batch = recipe.steps, recipe.batch_size or "all examples"
    return (
        f"New tasks adapt by {recipe.optimizer['name']} for {steps} steps of {batch} "
        "(`meta-shrink adapt`)."
    )
