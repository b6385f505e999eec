"""The figure of methods compared over seeds: points side by side, or lines over x (Fig. 4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_shrink.reporting.methods import Interval, Row
from meta_shrink.reporting.style import (
    CYCLE,
    HEIGHT,
    INK,
    SHARED,
    TASK_SPECIFIC,
    WIDEST,
    WIDTH,
    bar_slot,
    canvas,
    legend_above,
    legend_below,
    log_if_wide,
    name_bars,
    text,
    tidy,
)

SIGMA = "σ-"
BAND = "#F3F4F6"
# Measure, marker, distance from the middle of the method's slot, what it is called.
POINTS = (
    ("everything", "o", -0.14, "everything adapts"),
    ("task_specific", "D", 0.14, "only the modules found task-specific"),
)
NAME_POINTS = 6.2  # of a letter of a method's name
PANEL_WIDTH, PANEL_HEIGHT = 4.4, 4.2  # inches


def methods_figure(rows: Sequence[Row], label: str, *, logarithmic: bool) -> Figure:
    """Lines over x where the rows have one, else a point for each method.

    label: of the metric's axis. logarithmic: if values span more than a decade; right for an error,
    while an accuracy near 0 would press those that matter together.
    """
    draw = lines_over_x if any(row.method.x is not None for row in rows) else points
    return draw(rows, label, logarithmic)


def base_of(row: Row) -> str:
    """The method without shrinkage: MAML for sigma-MAML."""
    return row.title.removeprefix(SIGMA)


def paired(rows: Sequence[Row]) -> list[Row]:
    """The rows with each X and sigma-X side by side, else in their order."""
    bases = list(dict.fromkeys(base_of(row) for row in rows))
    return sorted(rows, key=lambda r: (bases.index(base_of(r)), r.title.startswith(SIGMA)))


def points(rows: Sequence[Row], label: str, logarithmic: bool) -> Figure:
    """One slot a method: its mean and 95 % interval, and small points for its seeds."""
    rows = paired(rows)
    figure, ax = _wide_canvas([row.title for row in rows])
    _bands(ax, rows)
    found = [row.title.startswith(SIGMA) for row in rows]
    values = [v for row in rows for name, *_ in POINTS for v in _values(row, name)]
    if logarithmic:
        log_if_wide(ax, values)
    shown = [row.measures[name] for row in rows for name, *_ in POINTS if name in row.measures]
    _keep_in_view(ax, values, shown)
    for name, marker, aside, meaning in POINTS:
        if not any(name in row.measures for row in rows):
            continue
        for at, row in enumerate(rows):
            place = at + (aside if "task_specific" in row.measures else 0)
            _point(ax, place, row, name, marker)
        ax.plot([], [], marker, color=INK, markersize=7, label=meaning)
    if any(len(row.method.workdirs) > 1 for row in rows):
        ax.plot([], [], "o", color=INK, markersize=3.5, alpha=0.45, label="one seed")
    ax.set_ylabel(label)
    name_bars(figure, ax, [row.title for row in rows], found)
    ax.set_xlabel(whisker_words(rows))
    legend_above(figure, ax, columns=3)
    return figure


def whisker_words(rows: Sequence[Row]) -> str:
    """What the whiskers are."""
    counts = {len(interval.values) for row in rows for interval in row.measures.values()}
    over = " over seeds" if counts and 1 not in counts else ""
    over = " over the held-out tasks of one seed" if counts == {1} else over
    return f"whiskers: 95 % confidence interval{over}"


def _wide_canvas(names: Sequence[str]) -> tuple[Figure, Axes]:
    """A canvas on which the names stand upright, if that is not too wide."""
    figure, ax = canvas(names)
    width = WIDTH
    while width < WIDEST and bar_slot(width, len(names)) < NAME_POINTS * max(map(len, names)):
        width += 0.2
    if width < WIDEST:
        figure.set_size_inches(width, HEIGHT)
    return figure, ax


def _bands(ax: Axes, rows: Sequence[Row]) -> None:
    """A pale ground behind every other pair X, sigma-X."""
    start = 0
    for number, (_, pair) in enumerate(groupby(rows, base_of)):
        end = start + len(list(pair))
        if number % 2:
            ax.axvspan(start - 0.5, end - 0.5, color=BAND, linewidth=0, zorder=0)
        start = end


def _values(row: Row, name: str) -> list[float]:
    """Finite values of a measure: of the seeds, and their mean."""
    interval = row.measures.get(name)
    found = [*interval.values, interval.mean] if interval else []
    return [value for value in found if math.isfinite(value)]


def _point(ax: Axes, place: float, row: Row, name: str, marker: str) -> None:
    interval = row.measures.get(name)
    if interval is None:
        return
    colour = TASK_SPECIFIC if row.title.startswith(SIGMA) else SHARED
    if not math.isfinite(interval.mean):
        where = {"ha": "center", "va": "bottom", "fontsize": 8, "color": colour, "rotation": 90}
        ax.text(place, 0.02, str(interval), transform=ax.get_xaxis_transform(), **where)
        return
    _whiskers(ax, [place], [interval], fmt=marker, color=colour, markersize=7, zorder=3)
    seeds = interval.values if len(interval.values) > 1 else ()
    beside = [place + 0.09] * len(seeds)
    ax.plot(beside, seeds, "o", color=colour, markersize=3.5, alpha=0.45, zorder=2)


def _whiskers(ax: Axes, x: Sequence[float], intervals: Sequence[Interval], **style: Any) -> None:
    """Means with their intervals; on a log axis no whisker reaches zero."""
    means = [i.mean for i in intervals]
    ci95 = [i.ci95 if math.isfinite(i.ci95) else 0.0 for i in intervals]
    log = ax.get_yscale() == "log"
    below = [min(c, 0.95 * m) if log else c for m, c in zip(means, ci95, strict=True)]
    ax.errorbar(x, means, [below, ci95], capsize=3, elinewidth=1.4, **style)


def _keep_in_view(ax: Axes, values: Sequence[float], intervals: Sequence[Interval]) -> None:
    """Show the whiskers, but those of two seeds in part: Student's t reaches 13 standard errors."""
    if not values or ax.get_yscale() == "log":
        return
    inside = [*values, *_ends(i for i in intervals if len(i.values) != 2)]
    low, high = min(inside), max(inside)
    most = (high - low) or 0.1 * abs(high) or 1.0
    reach = [*inside, *_ends(intervals)]
    low, high = max(min(reach), low - most), min(max(reach), high + most)
    margin = 0.06 * (high - low) or 1.0
    ax.set_ylim(low - margin, high + margin)


def _ends(intervals: Iterable[Interval]) -> list[float]:
    """Finite ends of the intervals."""
    ends = [i.mean + sign * i.ci95 for i in intervals for sign in (-1, 1)]
    return [value for value in ends if math.isfinite(value)]


def lines_over_x(rows: Sequence[Row], label: str, logarithmic: bool) -> Figure:
    """Everything adapts: one line a method over x, a panel for each x_label (Fig. 4)."""
    x_labels = list(dict.fromkeys(row.method.x_label for row in rows))
    width = max(WIDTH, PANEL_WIDTH * len(x_labels))
    figure = Figure(figsize=(width, PANEL_HEIGHT), layout="constrained")
    panels = figure.subplots(1, len(x_labels), sharey=True, squeeze=False)[0]
    values = [value for row in rows for value in _values(row, "everything")]
    for ax, x_label in zip(panels, x_labels, strict=True):
        tidy(ax)
        if logarithmic:
            log_if_wide(ax, values)
        _panel(ax, [row for row in rows if row.method.x_label == x_label], paired(rows))
        ax.set_xlabel(text(x_label or "x"))
    panels[0].set_ylabel(label)
    panels[0].set_title(whisker_words(rows), loc="left", fontsize=8.5, color="#555555")
    # Columns are filled from above: an X and its sigma-X are one column.
    legend_below(figure, panels[0], columns=len({base_of(row) for row in rows}))
    return figure


def _panel(ax: Axes, rows: Sequence[Row], everywhere: Sequence[Row]) -> None:
    """The lines of one panel; a pair X, sigma-X has one colour in all panels."""
    bases = list(dict.fromkeys(base_of(row) for row in everywhere))
    titles = list(dict.fromkeys(row.title for row in everywhere))
    ticks = sorted({row.method.x for row in rows if row.method.x is not None})
    slot = 0.012 * ((ticks[-1] - ticks[0]) or 1.0)
    for number, title in enumerate(titles):
        line = [
            (row.method.x, row.measures.get("everything")) for row in rows if row.title == title
        ]
        there = [(x, i) for x, i in line if x is not None and i and math.isfinite(i.mean)]
        there.sort(key=lambda pair: pair[0])
        shrinks = title.startswith(SIGMA)
        colour = CYCLE[bases.index(title.removeprefix(SIGMA)) % len(CYCLE)]
        style: dict[str, Any] = {"linestyle": "-" if shrinks else (0, (4, 1.5)), "color": colour}
        style |= {"marker": "o" if shrinks else "s", "markersize": 6, "linewidth": 1.8}
        style |= {} if shrinks else {"markerfacecolor": "white"}
        aside = slot * (number - (len(titles) - 1) / 2)  # Whiskers must not cover each other.
        places = [x + aside for x, _ in there]
        _whiskers(ax, places, [i for _, i in there], label=text(title), **style)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
