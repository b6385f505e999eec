"""How a backbone adapts new tasks: "adaptation" in backbone.json. No TensorFlow needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from meta_shrink.adapters.typed_json import typed

TARGETS = "targets"
# How much each number of the loss counts; only beside "targets" of one output.
TARGET_WEIGHTS = "targets_weights"


@dataclass(frozen=True)
class ArraySpec:
    """An input, output or target without its batch axis; None is an axis of any length."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def _gradient_descent() -> dict[str, Any]:
    return {"name": "proximal_gd"}


@dataclass(frozen=True)
class Recipe:
    """How new tasks are adapted.

    optimizer: name and options of a task optimizer. steps: of it. batch_size: examples of a step;
    0 for all. augment: options of tasks.augment.random_affine; {} for none. loss: name and options
    of one of losses.LOSSES; {} for any other. reduction: "mean" or "sum" of the loss over examples.
    metric: a name of losses.METRICS, or "". targets: arrays of the loss, "targets" (and
    "targets_weights") or one for each output; exports fill them in. pictures, recordings,
    prosody: types.Pictures, types.Recordings or types.Prosody as a dict, where that is what the
    inputs are.
    """

    optimizer: Mapping[str, Any] = field(default_factory=_gradient_descent)
    steps: int = 1
    batch_size: int = 0
    augment: Mapping[str, Any] = field(default_factory=dict)
    loss: Mapping[str, Any] = field(default_factory=dict)
    reduction: str = "mean"
    metric: str = ""
    targets: tuple[ArraySpec, ...] = ()
    pictures: Mapping[str, Any] = field(default_factory=dict)
    recordings: Mapping[str, Any] = field(default_factory=dict)
    prosody: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As backbone.json has it: pictures are called images, targets are told by their names."""
        fields = asdict(self)
        if pictures := fields.pop("pictures"):
            fields["images"] = pictures
        for name in ("recordings", "prosody"):
            if not fields[name]:
                del fields[name]
        found = {x.name: {"shape": list(x.shape), "dtype": x.dtype} for x in self.targets}
        fields[TARGETS] = found[TARGETS] if list(found) == [TARGETS] else found
        return fields


def recipe_from_json(value: Any) -> Recipe:
    """The recipe of a backbone.json; what it does not tell is as by default.

    Raises:
      ValueError: it is none; the text says which field.
    """
    name = "backbone.adaptation"
    fields = dict(typed(Mapping[str, Any], value, name))
    if "pictures" in fields:
        raise ValueError(f"{name} has the unknown field 'pictures'")
    if "images" in fields:
        fields["pictures"] = fields.pop("images")
    targets = typed(Mapping[str, Any], fields.get(TARGETS, {}), f"{name}.{TARGETS}")
    if "dtype" in targets:
        targets = {TARGETS: targets}
    fields[TARGETS] = [
        {**typed(Mapping[str, Any], spec, f"{name}.{TARGETS}.{key}"), "name": key}
        for key, spec in targets.items()
    ]
    return typed(Recipe, fields, name)
