"""TF_CONFIG, the environment variable that names the processes of a job and the place of this one.

TensorFlow itself waits for ever where it is wrong: two processes at one address, one without a
port. So all of it is checked, that of the other processes too.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, NamedTuple

from meta_shrink.errors import UsageError

TF_CONFIG = "TF_CONFIG"
WORKER_JOBS = ("chief", "worker")  # Those that train; "ps" and "evaluator" are of other strategies.
_ADDRESS = re.compile(r"[^\s/]+:(\d{1,5})")
_LAST_PORT = 65535


class Place(NamedTuple):
    """Addresses of all processes, the chief's first, and the index of this one among them."""

    hosts: list[str]
    index: int


def is_given() -> bool:
    """Whether there is one; a shell's empty variable is none."""
    return bool(os.environ.get(TF_CONFIG, "").strip())


def place_of_process(strategy: str) -> Place:
    """What TF_CONFIG says.

    Args:
      strategy: that of the user, for the sentence.

    Raises:
      UsageError: it is missing or wrong.
    """
    text = os.environ.get(TF_CONFIG, "")
    try:
        config = json.loads(text)
        fault = _fault(config)
    except (ValueError, RecursionError):
        fault = "which is no JSON"
    if fault:
        raise UsageError(
            f"--strategy={strategy} found {TF_CONFIG}={text[:200]!r}, {fault}; expected "
            '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}, '
            "the same cluster in every process and an index of its own."
        )
    jobs, task = config["cluster"], config["task"]
    before = len(jobs.get("chief", [])) if task["type"] == "worker" else 0
    return Place(_hosts(jobs), before + task["index"])


def _fault(config: Any) -> str:
    """What is wrong; "" for nothing."""
    match config:
        case {"cluster": dict(jobs), "task": {"type": str(kind), "index": int(index)}}:
            pass
        case _:
            return "which lacks a cluster, or a task with its type and index"
    if odd := sorted({kind, *jobs} - set(WORKER_JOBS)):
        return f"with a process of kind {odd[0]!r}, where only chief and worker train"
    if not all(isinstance(hosts, list) for hosts in jobs.values()):
        return "whose addresses are no lists"
    if wrong := [host for host in _hosts(jobs) if not _is_address(host)]:
        return f"where {wrong[0]!r} is no HOST:PORT"
    if twice := [host for host in _hosts(jobs) if _hosts(jobs).count(host) > 1]:
        return f"where two processes have the address {twice[0]}"
    if len(jobs.get("chief", [])) > 1:
        return "with more than one chief"
    if not 0 <= index < len(jobs.get(kind, [])):
        return f"whose cluster has no {kind} {index}"
    return ""


def _is_address(host: Any) -> bool:
    match = _ADDRESS.fullmatch(host) if isinstance(host, str) else None
    return bool(match) and 0 < int(match[1]) <= _LAST_PORT


def _hosts(jobs: dict[str, list[Any]]) -> list[Any]:
    return [host for job in WORKER_JOBS for host in jobs.get(job, [])]
