"""The figure of several runs: the held-out metric against adaptation steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_shrink.reporting.evaluation_file import (
    number,
    of_kind,
)
from meta_shrink.reporting.style import (
    CYCLE,
    DASHES,
    canvas,
    curve,
    legend_below,
    log_if_wide,
    metric_label,
    step_axis,
)

Named = Sequence[tuple[str, dict[str, Any]]]


def comparison_curves(named: Named) -> Figure:
    """Metric against adaptation steps when everything adapts, one line an algorithm (Fig. 7b)."""
    figure, ax = canvas()
    schemes = [(label, s) for label, e in named for s in of_kind(e, "all")]
    for i, (label, scheme) in enumerate(schemes):
        style = {"color": CYCLE[i % len(CYCLE)], "linestyle": DASHES[i % 2]}
        curve(ax, scheme, label=label, linewidth=1.8, **style)
    late = [number(v) for _, scheme in schemes for v in _second_half(scheme["mean"])]
    log_if_wide(ax, late)
    _zoom(ax, late)
    horizons = [evaluation["train_adaptation_steps"] for _, evaluation in named]
    step_axis(ax, [step for _, scheme in schemes for step in scheme["steps"]], horizons)
    ax.set_ylabel(metric_label(named[0][1]))
    legend_below(figure, ax)
    return figure


def _second_half(values: Sequence[Any]) -> Sequence[Any]:
    # Steps are recorded at about equal distances on a log axis: the steep start is the first half.
    return values[len(values) // 2 :]


def _zoom(ax: Axes, values: Sequence[float]) -> None:
    """Show where the algorithms end up, not how far away they start."""
    finite = [value for value in values if math.isfinite(value)]
    if finite and ax.get_yscale() == "linear":
        low, high = min(finite), max(finite)
        margin = 0.15 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)
