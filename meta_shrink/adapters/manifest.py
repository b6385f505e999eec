"""What an adapter says about itself: canonical JSON in its one metadata key. No names, no data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meta_shrink.adapters.canonical_json import canonical
from meta_shrink.adapters.probe import NUM_OUTPUTS
from meta_shrink.errors import AdapterError

FORMAT = "meta_shrink.adapter/1"
ENCODINGS = ("f32", "f16", "bf16", "int8_delta")
MAX_INTEGER = 2**63 - 1
_SHA256 = re.compile("[0-9a-f]{64}")
_TASK_ID = re.compile("[A-Za-z0-9._-]{0,64}")


@dataclass(frozen=True)
class TaskFacts:
    """Of the task: an opaque id (letters, digits, "._-", at most 64, or none), and how it was
    adapted: number of examples, steps, and the seed of their order. Never a name or data.
    """

    id: str
    examples: int
    steps: int
    seed: int


@dataclass(frozen=True)
class Manifest:
    """The facts about an adapter.

    backbone: {"registry_sha256", "weights_sha256"}. modules: {"name", "sigma2"} of each, in
    network order; sigma2 is None where there is no prior. selection: how they were chosen, {name:
    number or text}. probe: what the backbone answers the fixed input (`adapters.probe`).
    content_sha256: of all other facts, the table of tensors and the payload. consent, licence:
    free text.
    """

    package_version: str
    algorithm: str
    encoding: str
    backbone: Mapping[str, str]
    modules: tuple[Mapping[str, Any], ...]
    selection: Mapping[str, Any]
    task: TaskFacts
    probe: tuple[float, ...]
    content_sha256: str = ""
    consent: str = ""
    licence: str = ""
    format: str = FORMAT

    def to_json(self) -> bytes:
        """The text in the file.

        Raises:
          ValueError: a number is not finite.
        """
        return canonical({**vars(self), "task": vars(self.task)})

    def hashed_json(self) -> bytes:
        """The text that content_sha256 covers: everything else."""
        facts = {**vars(self), "task": vars(self.task)}
        del facts["content_sha256"]
        return canonical(facts)


def is_sha256(value: Any) -> bool:
    """Whether it is text of 64 lowercase hexadecimal digits."""
    return type(value) is str and _SHA256.fullmatch(value) is not None


def parse_manifest(text: str, where: str) -> Manifest:
    """The checked manifest.

    Raises:
      AdapterError: "manifest" or "format".
    """
    try:
        fields = json.loads(text)
        if canonical(fields) != text.encode("utf-8"):
            raise ValueError("it is not canonical JSON, or has a key twice")
        _check_format(fields, where)
        _check_fields("the manifest", fields, _FIELDS)
    except (ValueError, RecursionError) as error:
        raise AdapterError(
            "manifest", f"{where} has a broken manifest ({error}): fetch the adapter again."
        ) from error
    parts = {
        "modules": tuple(fields["modules"]),
        "task": TaskFacts(**fields["task"]),
        "probe": tuple(fields["probe"]),
    }
    return Manifest(**{**fields, **parts})


def _check_format(fields: Any, where: str) -> None:
    found = fields.get("format") if type(fields) is dict else None
    if type(found) is str and found != FORMAT:
        raise AdapterError(
            "format",
            f"{where} has the format {found[:80]!r}, and this version of meta_shrink reads "
            f"{FORMAT!r}: update meta_shrink or export the adapter again.",
        )


def _check_fields(what: str, fields: Any, checks: Mapping[str, Any]) -> None:
    if type(fields) is not dict or set(fields) != set(checks):
        raise ValueError(f"the fields of {what} are not {', '.join(sorted(checks))}")
    for name, check in checks.items():
        if not check(fields[name]):
            raise ValueError(f"{name} of {what} is not what it should be")


def _is_text(value: Any) -> bool:
    return type(value) is str and (value.isprintable() or value == "")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_INTEGER


def _is_sigma2(value: Any) -> bool:
    return value is None or (type(value) is float and value > 0)


def _is_probe(value: Any) -> bool:
    return (
        type(value) is list and len(value) <= NUM_OUTPUTS and all(type(v) is float for v in value)
    )


def _is_backbone(value: Any) -> bool:
    _check_fields("backbone", value, {"registry_sha256": is_sha256, "weights_sha256": is_sha256})
    return True


def _is_task(value: Any) -> bool:
    checks = {"examples": _is_count, "steps": _is_count, "seed": _is_count}
    _check_fields("task", value, {"id": _is_task_id, **checks})
    return True


def _is_task_id(value: Any) -> bool:
    return type(value) is str and _TASK_ID.fullmatch(value) is not None


def _is_flat(value: Any) -> bool:
    """Not nested, so that no depth of it can end a later step."""
    kinds = (str, int, float, bool, type(None))
    return type(value) is dict and all(type(item) in kinds for item in value.values())


def _is_modules(value: Any) -> bool:
    for module in value if type(value) is list else ():
        _check_fields("a module", module, {"name": _is_text, "sigma2": _is_sigma2})
    return type(value) is list


_FIELDS = {
    "format": _is_text,
    "package_version": _is_text,
    "algorithm": _is_text,
    "encoding": ENCODINGS.__contains__,
    "backbone": _is_backbone,
    "modules": _is_modules,
    "selection": _is_flat,
    "task": _is_task,
    "probe": _is_probe,
    "content_sha256": is_sha256,
    "consent": _is_text,
    "licence": _is_text,
}
