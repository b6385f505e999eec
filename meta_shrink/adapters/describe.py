"""What `meta-shrink inspect` shows of an adapter: as data, and as text for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.canonical_json import canonical
from meta_shrink.adapters.checks import prior_distance
from meta_shrink.adapters.encodings import SCALE
from meta_shrink.adapters.reading import Adapter, StoredAdapter

MOMENTS = "moments"


def describe(stored: StoredAdapter) -> dict[str, Any]:
    """Its id, size, manifest without the modules, and `modules`: name, sigma2, tensors, bytes."""
    facts = {**vars(stored.manifest), "task": vars(stored.manifest.task)}
    sigma2 = {module["name"]: module["sigma2"] for module in stored.manifest.modules}
    rows = {name: _row(name, value) for name, value in sigma2.items()}
    for name, array in stored.arrays.items():
        module = _module_of(name.removesuffix(SCALE), sigma2)
        row = rows.setdefault(module, _row(module, None))
        row["tensors"] += 1
        row["bytes"] += array.nbytes
    return {"id": stored.id, "bytes": stored.num_bytes, **facts, "modules": list(rows.values())}


def add_plausibility(
    facts: dict[str, Any], adapter: Adapter, backbone: BackboneInfo, default: Adapter
) -> None:
    """Adds to each module its distance from phi and the range that the backbone's tasks had."""
    distances = prior_distance(adapter, backbone, default.tensors)
    for row in facts["modules"]:
        distance, pair = distances.get(row["name"]), backbone.plausible.get(row["name"])
        row["distance"], row["plausible_range"] = distance, pair
        row["plausible"] = None if distance is None or not pair else pair[0] <= distance <= pair[1]


def as_text(facts: Mapping[str, Any]) -> str:
    """Lines "name  value", then the table of modules."""
    task = facts["task"]
    lines = {
        "id": facts["id"],
        "size": f"{facts['bytes']} bytes",
        "format": f"{facts['format']}, by meta_shrink {facts['package_version']}",
        "algorithm": facts["algorithm"],
        "encoding": facts["encoding"],
        "backbone": f"registry {facts['backbone']['registry_sha256']}",
        "": f"weights  {facts['backbone']['weights_sha256']}",
        "selection": canonical(facts["selection"]).decode(),
        "task": f"{task['id'] or '(no id)'}, {task['examples']} examples, {task['steps']} steps, "
        f"seed {task['seed']}",
        "content": facts["content_sha256"],
        "probe": f"{len(facts['probe'])} outputs",
        "consent": facts["consent"] or "(not stated)",
        "licence": facts["licence"] or "(not stated)",
    }
    head = [f"{name:10} {value}" for name, value in lines.items()]
    return "\n".join([*head, "", *_table(facts["modules"])])


def _row(name: str, sigma2: float | None) -> dict[str, Any]:
    return {"name": name, "sigma2": sigma2, "tensors": 0, "bytes": 0}


def _module_of(tensor: str, modules: Mapping[str, Any]) -> str:
    """The module whose path begins the tensor's; what belongs to none is a moment."""
    found = [name for name in modules if tensor == name or tensor.startswith(name + "/")]
    return max(found, key=len, default=MOMENTS)


_COLUMNS: dict[str, Callable[[Any], str]] = {
    "name": str,
    "sigma2": lambda value: "-" if value is None else f"{value:.3g}",
    "tensors": str,
    "bytes": str,
    "distance": lambda value: "-" if value is None else f"{value:.3g}",
    "plausible_range": lambda pair: f"{pair[0]:.3g} to {pair[1]:.3g}" if pair else "-",
    "plausible": lambda value: {None: "-", True: "yes", False: "NO"}[value],
}


def _table(modules: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = [name for name in _COLUMNS if modules and name in modules[0]]
    rows = [columns, *([_COLUMNS[name](module[name]) for name in columns] for module in modules)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
