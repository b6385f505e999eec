"""Methods compared over seeds: the runs of each folded into one row of numbers.

A run is a workdir that was trained and evaluated, by `meta-shrink compare` for instance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.intervals import mean_and_ci95
from meta_shrink.reporting.evaluation_file import (
    TITLES,
    Estimate,
    at_horizon,
    find_scheme,
    plus_minus,
    sigma2_is_learned,
)
from meta_shrink.runs.metrics_log import MetricsLog

# Name, kind of the scheme, inductive or not: the metrics of a row, in the order of the columns.
MEASURES = (
    ("everything", "all", False),
    ("task_specific", "selected", False),
    ("everything_inductive", "all", True),
    ("task_specific_inductive", "selected", True),
)


class Compared(NamedTuple):
    """What one row is made of.

    label: its name. workdirs: the runs that are done, one a seed, of `seeds` in all. x, x_label:
    where the method stands on the x-axis and what that is, if the comparison has one.
    """

    label: str
    workdirs: Sequence[str | Path]
    seeds: int
    x: float | None = None
    x_label: str = ""


class Interval(NamedTuple):
    """A metric over seeds: mean +- 95 % interval, the values of the seeds, adaptation steps.

    The interval is Student's t over the seeds; with one seed, that over its held-out tasks.
    """

    mean: float
    ci95: float
    values: tuple[float, ...]
    step: int

    def __str__(self) -> str:
        diverged = sum(not math.isfinite(value) for value in self.values)
        if diverged and len(self.values) > 1:
            return f"diverged in {diverged} of {len(self.values)} seeds"
        return plus_minus(self.mean, self.ci95)


class Row(NamedTuple):
    """A method over its seeds.

    measures: by name (MEASURES); one that no seed has is absent. found: how many seeds found each
    module task-specific, None where sigma^2 is not learned. adapter_bytes: (least, most) over
    seeds. seconds: median of a meta-step. peak_mib: most memory. The latter: nan if unknown.
    """

    method: Compared
    measures: dict[str, Interval]
    found: dict[str, int] | None
    adapter_bytes: tuple[int, int]
    meta_steps: int
    num_tasks: tuple[int, ...]
    seconds: float
    peak_mib: float

    @property
    def title(self) -> str:
        """The method's label, an algorithm's name as the paper writes it."""
        return TITLES.get(self.method.label, self.method.label)


def timing_rows(workdirs: Sequence[str | Path]) -> list[dict[str, Any]]:
    """The rows of timing.jsonl of all these runs."""
    logs = [MetricsLog(str(Path(workdir) / "timing.jsonl"), read_only=True) for workdir in workdirs]
    return [row for log in logs for row in log.rows()]


def method_row(
    method: Compared, evaluations: Sequence[dict[str, Any]], timing: Sequence[dict[str, Any]]
) -> Row:
    """One method's runs as a row."""
    measures = {}
    for name, kind, inductive in MEASURES:
        estimates = [_estimate(evaluation, kind, inductive) for evaluation in evaluations]
        present = [estimate for estimate in estimates if estimate is not None]
        measures |= {name: over_seeds(present)} if present else {}
    sizes = [_adapter_bytes(evaluation) for evaluation in evaluations]
    return Row(
        method,
        measures,
        modules_found(evaluations),
        (min(sizes), max(sizes)),
        max(evaluation["meta_step"] for evaluation in evaluations),
        tuple(sorted({evaluation["num_tasks"] for evaluation in evaluations})),
        float(np.median([row["seconds_per_step"] for row in timing] or [math.nan])),
        max((row["peak_rss_mib"] for row in timing if "peak_rss_mib" in row), default=math.nan),
    )


def _estimate(evaluation: dict[str, Any], kind: str, inductive: bool) -> Estimate | None:
    """A scheme's metric where results are quoted; None where the evaluation does not have it."""
    scheme = find_scheme(evaluation, kind)
    if scheme is not None and inductive:
        if "inductive_mean" not in scheme:
            return None
        ci95 = scheme["inductive_ci95"]
        scheme = {**scheme, "mean": scheme["inductive_mean"], "ci95": ci95}
    return None if scheme is None else at_horizon(evaluation, scheme)


def over_seeds(estimates: Sequence[Estimate]) -> Interval:
    """Mean over seeds and its 95 % interval by Student's t; one estimate stays as it is."""
    first, values = estimates[0], tuple(estimate.mean for estimate in estimates)
    if len(values) == 1:
        return Interval(first.mean, first.ci95, values, first.step)
    if not all(math.isfinite(value) for value in values):
        return Interval(math.nan, math.nan, values, first.step)
    mean, ci95 = mean_and_ci95(np.array(values))
    return Interval(float(mean), float(ci95), values, first.step)


def modules_found(evaluations: Sequence[dict[str, Any]]) -> dict[str, int] | None:
    """In how many evaluations each module is task-specific, most often first, then as they lie in
    the network; None where sigma^2 is not learned."""
    if not any(sigma2_is_learned(evaluation) for evaluation in evaluations):
        return None
    chosen = [name for e in evaluations for name in e["selection"]["modules"]]
    names = [module["name"] for module in evaluations[0]["modules"] if module["name"] in chosen]
    return {name: chosen.count(name) for name in sorted(names, key=lambda n: -chosen.count(n))}


def _adapter_bytes(evaluation: dict[str, Any]) -> int:
    """What a task has to store: the selected modules, or all where none is."""
    if evaluation["selection"]["modules"]:
        return evaluation["selection"]["bytes"]
    return sum(module["bytes"] for module in evaluation["modules"])
