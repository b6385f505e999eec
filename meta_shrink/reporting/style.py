"""How every figure of the report looks: canvas, axes, colours, scales, labels.

Colours are Okabe and Ito's, which the colour-blind can tell apart. Nothing here touches
pyplot's global state.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from meta_shrink.reporting.evaluation_file import badness, number, of_kind
from meta_shrink.reporting.held_out import listed_numbers

TASK_SPECIFIC, SHARED, INK, PALE = "#D55E00", "#8A99A8", "#1A1A1A", "#C9CFD6"
CYCLE = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F3C8D", "#A05A2C", "#5B6770")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)))
MOST_LINES = len(CYCLE)  # more lines than this cannot be told apart: the rest turns grey
WIDTH, HEIGHT = 6.6, 4.2  # inches
WIDEST = 14.0
POINTS_PER_INCH = 72
LABEL_CHARACTERS = 48
BEYOND = 1.02  # the end of an axis, as a multiple of the last step


def canvas(names: Sequence[str] = ()) -> tuple[Figure, Axes]:
    """One pair of axes, large enough to write `names` under its bars."""
    width = min(max(WIDTH, 0.1 * len(names) + 1), WIDEST)
    longest = max(map(len, names), default=0)
    upright = longest * 0.62 * 10 <= bar_slot(width, len(names))
    figure = Figure(
        figsize=(width, HEIGHT + (0 if upright else 0.06 * longest)), layout="constrained"
    )
    ax = figure.subplots()
    tidy(ax)
    return figure, ax


def bar_slot(width: float, num_bars: int) -> float:
    """Points from one bar to the next in a figure of this width in inches."""
    return POINTS_PER_INCH * 0.85 * width / max(num_bars, 1)


def tidy(ax: Axes) -> None:
    """No box, a faint grid behind the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#E6E8EB", linewidth=0.8)
    ax.set_axisbelow(True)


def text(name: str) -> str:
    """The name as matplotlib prints it literally (a `$` would start a formula)."""
    return name.replace("$", r"\$")


def name_bars(figure: Figure, ax: Axes, names: Sequence[str], marked: Sequence[bool]) -> None:
    """Names under the bars: turned when many, thinned when even that is too dense.

    Marked bars keep their names, in the colour of task-specific modules.
    """
    slot = bar_slot(figure.get_figwidth(), len(names))
    size = min(max(0.9 * slot, 6.0), 10.0)
    stride = max(math.ceil(0.9 * size / slot), 1)
    upright = max(map(len, names)) * 0.62 * 10 <= slot
    shown = [i for i in range(len(names)) if marked[i] or i % stride == 0]
    ax.set_xticks(shown, [text(names[i]) for i in shown])
    ax.set_xlim(-0.7, len(names) - 0.3)
    ax.tick_params(axis="x", length=0)
    for label, i in zip(ax.get_xticklabels(), shown, strict=True):
        label.set(rotation=0 if upright else 90, fontsize=10 if upright else size)
        if marked[i]:
            label.set(color=TASK_SPECIFIC, fontweight="bold")


def log_if_wide(ax: Axes, values: Iterable[float]) -> float:
    """Log y-axis if all values are positive and span more than a decade.

    Returns:
      Where bars start: the lower end of the log axis, or 0 on a linear one.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite or min(finite) <= 0 or max(finite) <= 10 * min(finite):
        return 0.0
    ax.set_yscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_major_formatter(plain)
    ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    few_decades = max(finite) < 1000 * min(finite)
    ax.yaxis.set_minor_formatter(plain if few_decades else NullFormatter())
    return 10 ** math.floor(math.log10(min(finite) * 0.8))


def curve(ax: Axes, scheme: dict[str, Any], *, label: str, **style: Any) -> None:
    """Mean against adaptation steps with its 95 % interval as a band."""
    steps = np.array(scheme["steps"], float)
    mean = np.array([number(value) for value in scheme["mean"]])
    ci95 = np.nan_to_num([number(value) for value in scheme["ci95"]])
    mean[~np.isfinite(mean)] = np.nan
    ax.plot(steps, mean, label=text(label), **style)
    if style["color"] == PALE:  # Bands of a hundred lines would hide everything else.
        return
    below = np.where(mean > 0, np.maximum(mean - ci95, mean / 20), mean - ci95)
    order = style.get("zorder", 2)
    band = {"color": style["color"], "alpha": 0.13, "linewidth": 0, "zorder": order}
    ax.fill_between(steps, below, mean + ci95, **band)


def step_axis(ax: Axes, steps: Iterable[float], horizons: Iterable[int] = ()) -> None:
    """x-axis of adaptation steps: logarithmic beyond two decades, 0 kept; horizons marked."""
    positive = [step for step in steps if step > 0] or [1]
    if max(positive) > 100 * min(positive):
        ax.set_xscale("symlog", linthresh=min(positive), linscale=0.4)
        decades = range(math.floor(math.log10(min(positive))), 1 + int(math.log10(max(positive))))
        ticks = [0, *(10**d for d in decades)]
        ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.set_xlim(0, max(positive) * BEYOND)
    if horizons := sorted(set(horizons)):
        _mark(ax, horizons)
    ax.set_xlabel("adaptation steps on the new task")


def _mark(ax: Axes, horizons: Sequence[int]) -> None:
    """A line at each number of steps that the axis reaches, and one label for all of them.

    One, so that labels never lie on each other; it stands over the last line, within the axes, as
    a label outside would leave no room for them.
    """
    end = ax.get_xlim()[1]
    shown = [horizon for horizon in horizons if horizon <= end]
    for horizon in shown:
        ax.axvline(horizon, color="#555555", linestyle=(0, (2, 2)), linewidth=1, zorder=0)
    x = shown[-1] if shown == horizons else end
    across = ax.transAxes.inverted().transform(ax.transData.transform((x, ax.get_ylim()[0])))[0]
    ax.text(
        across,
        1.01,
        f"meta-training used {listed_numbers(horizons)} steps{'' if x < end else ', beyond this'}",
        fontsize=8.5,
        color="#555555",
        transform=ax.transAxes,
        ha="right" if across > 0.7 else "left" if across < 0.3 else "center",
        va="bottom",
    )


def legend_entries(ax: Axes) -> dict[str, Any]:
    """The axes' legend, each label once, patches (bars) before lines."""
    entries = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    names = sorted(entries, key=lambda name: isinstance(entries[name], Line2D))
    return {"handles": [entries[name] for name in names], "labels": names}


def legend_above(figure: Figure, ax: Axes, *, columns: int) -> None:
    """One legend over the axes, which leaves the names of the bars below free."""
    where = {"loc": "outside upper center", "ncols": columns, "frameon": False}
    figure.legend(**legend_entries(ax), **where)


def legend_below(figure: Figure, ax: Axes, *, columns: int = 3) -> None:
    """One legend under the axes, where it covers no data at any width."""
    where = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend(**legend_entries(ax), **where, fontsize=9, handlelength=2.6)


def metric_label(evaluation: dict[str, Any]) -> str:
    """Axis label of the evaluation's metric, with its better direction."""
    metric = evaluation["metric"]
    better = "lower" if metric["lower_is_better"] else "higher"
    label = f"held-out {metric['name']} ({better} is better)"
    return "\n".join(textwrap.wrap(label, LABEL_CHARACTERS))


def scheme_styles(evaluation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Line style per scheme name, the same in every figure of a report."""
    fixed: dict[str, dict[str, Any]] = {
        "all": {"color": INK, "linewidth": 2.6, "zorder": 3},
        "selected": {
            "color": TASK_SPECIFIC,
            "linewidth": 2.2,
            "linestyle": (0, (4, 1.5)),
            "zorder": 4,
        },
        "ranked": {"color": TASK_SPECIFIC, "linewidth": 1.0},
        "none": {"color": "#666666", "linewidth": 1.6, "linestyle": (0, (1, 1.5))},
        "single": {"color": PALE, "linewidth": 0.8, "zorder": 1},
    }
    styles = {scheme["name"]: fixed[scheme["kind"]] for scheme in evaluation["schemes"]}
    for i, scheme in enumerate(coloured_singles(evaluation)):
        styles[scheme["name"]] = {
            "color": CYCLE[i],
            "linewidth": 1.6,
            "linestyle": DASHES[i % len(DASHES)],
        }
    return styles


def coloured_singles(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """The modules adapted alone that get a colour: all of them, or the best four of many."""
    singles = of_kind(evaluation, "single")
    if len(singles) <= MOST_LINES:
        return singles
    best = sorted(singles, key=lambda scheme: badness(evaluation, scheme))[:4]
    return [scheme for scheme in singles if scheme in best]
