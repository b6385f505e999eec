"""Of which tasks, and of when, the numbers of an evaluation are: single parts may have fewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meta_shrink.reporting.evaluation_file import load_metrics


def tasks_of(evaluation: dict[str, Any], scheme: dict[str, Any]) -> int:
    """Held-out tasks of a scheme."""
    return scheme.get("num_tasks", evaluation["num_tasks"])


def task_counts(evaluations: Sequence[dict[str, Any]], *, alone: bool) -> list[int]:
    """Held-out tasks of the parts adapted alone, or of all else: each number once, growing."""
    counts = {
        tasks_of(evaluation, scheme)
        for evaluation in evaluations
        for scheme in evaluation["schemes"]
        if (scheme["kind"] == "single") is alone
    }
    return sorted(counts)


def held_out_tasks(evaluations: Sequence[dict[str, Any]]) -> str:
    """`600 held-out tasks (60 where one part adapts alone)`."""
    most, alone = (task_counts(evaluations, alone=flag) for flag in (False, True))
    fewer = most and alone and alone != most
    more = f" ({listed_numbers(alone)} where one part adapts alone)" if fewer else ""
    return f"{listed_numbers(most or alone)} held-out tasks{more}"


def listed_numbers(numbers: Sequence[int]) -> str:
    """`5 or 1,000`."""
    return " or ".join(f"{n:,}" for n in numbers)


def stale(workdir: str | Path, evaluation: Mapping[str, Any]) -> str:
    """A sentence if the run has been trained on since it was evaluated, else ""."""
    last = max((row["step"] for row in load_metrics(workdir)), default=0)
    if last <= evaluation["meta_step"]:
        return ""
    return (
        f"{workdir} was evaluated at meta-step {evaluation['meta_step']:,} and trained on to "
        f"{last:,}: evaluate it again for what it is now."
    )
