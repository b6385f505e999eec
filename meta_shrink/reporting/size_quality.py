"""What each size of an adapter costs in quality: shown where the variances are not separated."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from meta_shrink.reporting.evaluation_file import at_horizon, of_kind
from meta_shrink.reporting.style import (
    INK,
    TASK_SPECIFIC,
    canvas,
    legend_above,
    log_if_wide,
    metric_label,
)

COLUMNS = ("modules that adapt", "bytes a task", "mean", "ci95")


def size_quality_rows(evaluation: dict[str, Any]) -> list[list[Any]]:
    """Rows of COLUMNS, from nothing to everything; none without the schemes for it."""
    if not of_kind(evaluation, "ranked"):
        return []
    size = {module["name"]: module["bytes"] for module in evaluation["modules"]}
    rows = [
        [len(scheme["modules"]), sum(size[name] for name in scheme["modules"]), *estimate[1:]]
        for kind in ("none", "ranked", "all")
        for scheme in of_kind(evaluation, kind)
        for estimate in [at_horizon(evaluation, scheme)]
    ]
    return sorted(rows, key=lambda row: row[1])


def size_quality_curve(evaluation: dict[str, Any]) -> Figure:
    """Held-out metric against the bytes of a task, modules added from the largest sigma^2 down."""
    rows = size_quality_rows(evaluation)
    counts, sizes, means, errors = (np.array(column) for column in zip(*rows, strict=True))
    figure, ax = canvas()
    log_if_wide(ax, means)
    ax.errorbar(
        sizes,
        means,
        np.nan_to_num(errors),
        color=TASK_SPECIFIC,
        ecolor=INK,
        marker="o",
        capsize=2,
        label="the modules of the largest σ² adapt; whiskers: 95 % CI",
    )
    for count, size, mean in zip(counts, sizes, means, strict=True):
        ax.annotate(f"{count}", (size, mean), (4, 6), textcoords="offset points", color=INK)
    ax.set_xscale("symlog", linthresh=max(min(sizes[sizes > 0]) / 2, 1))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.set_xlabel("bytes a task (numbers: modules that adapt)")
    ax.set_ylabel(metric_label(evaluation))
    legend_above(figure, ax, columns=1)
    return figure
