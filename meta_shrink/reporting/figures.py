"""Figures of one run's report, after the paper's Figs. 2, 3, 7 to 9 and 13 to 15.

Each function takes an evaluation (layout: evaluation_file.py) and returns a
`matplotlib.figure.Figure`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from meta_shrink.reporting.evaluation_file import (
    SIGMA2_FLOOR,
    at_horizon,
    keys_with,
    number,
    of_kind,
    running_median,
    series,
)
from meta_shrink.reporting.style import (
    CYCLE,
    DASHES,
    INK,
    MOST_LINES,
    PALE,
    SHARED,
    TASK_SPECIFIC,
    WIDTH,
    canvas,
    curve,
    legend_above,
    legend_below,
    legend_entries,
    log_if_wide,
    metric_label,
    name_bars,
    scheme_styles,
    step_axis,
    text,
    tidy,
)

NOISY = 40  # a loss with more points than this gets a smooth line over a pale one


def sigma2_bars(evaluation: dict[str, Any]) -> Figure:
    """Learned sigma^2 per module in network order, log scale (Figs. 2 a,b; 3; 13 a,d,g)."""
    modules = evaluation["modules"]
    values = np.array([number(module["sigma2"]) for module in modules])
    chosen = [bool(module["task_specific"]) for module in modules]
    proper = values[np.isfinite(values) & (values > 0)]
    low, high = proper.min(initial=SIGMA2_FLOOR) / 3, proper.max(initial=SIGMA2_FLOOR) * 3
    heights = np.clip(np.nan_to_num(values, nan=low, posinf=high), low, high)
    figure, ax = canvas([module["name"] for module in modules])
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    for label, colour, group in (
        ("task-specific", TASK_SPECIFIC, True),
        ("shared by all tasks", SHARED, False),
    ):
        at = [i for i, flag in enumerate(chosen) if flag is group]
        if at:
            ax.bar(at, heights[at] - low, bottom=low, color=colour, width=0.8, label=label)
    for i in np.flatnonzero(~np.isfinite(values) | (values <= 0)):
        ax.text(float(i), low * 1.2, "∞" if values[i] == math.inf else "0", ha="center", color=INK)
    floor = f"floor of σ² ($10^{{{math.log10(SIGMA2_FLOOR):.0f}}}$)"
    ax.plot([-0.7, len(modules)], [SIGMA2_FLOOR] * 2, color=INK, ls=":", lw=1.4, label=floor)
    ax.set_ylabel("learned σ² (squared parameter units)")
    name_bars(figure, ax, [module["name"] for module in modules], chosen)
    ax.set_xlabel("module, in network order (input to output)")
    legend_above(figure, ax, columns=3)
    return figure


def single_module_bars(evaluation: dict[str, Any]) -> Figure:
    """Held-out metric when one module (group) adapts alone (Figs. 2 c,d; 14 and 15 d-f)."""
    schemes = of_kind(evaluation, "single")
    estimates = [at_horizon(evaluation, scheme) for scheme in schemes]
    selected = {m["name"] for m in evaluation["modules"] if m["task_specific"]}
    chosen = [bool(selected.intersection(scheme["modules"])) for scheme in schemes]
    means = np.array([estimate.mean for estimate in estimates])
    errors = np.nan_to_num([estimate.ci95 for estimate in estimates])
    others = [scheme for kind in ("all", "none") for scheme in of_kind(evaluation, kind)]
    levels = [at_horizon(evaluation, scheme).mean for scheme in others]
    figure, ax = canvas([scheme["name"] for scheme in schemes])
    low = log_if_wide(ax, [*means, *levels])
    below = np.minimum(errors, 0.95 * np.abs(means - low)) if low else errors
    at = np.arange(len(schemes))
    other = "shared module adapted alone" if selected else "one part adapted alone"
    for label, colour, group in (
        ("task-specific module adapted alone", TASK_SPECIFIC, True),
        (other, SHARED, False),
    ):
        some = [i for i, flag in enumerate(chosen) if flag is group]
        if some:
            ax.bar(some, means[some] - low, bottom=low, color=colour, width=0.8, label=label)
    ax.errorbar(at, means, [below, errors], fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    for scheme, level, dash in zip(others, levels, ("--", ":"), strict=False):
        name = f"adapting {text(scheme['name'])}" if scheme["kind"] == "all" else "no adaptation"
        ax.axhline(level, color=INK, linestyle=dash, linewidth=1.6, label=name)
    ax.set_ylabel(metric_label(evaluation))
    name_bars(figure, ax, [scheme["name"] for scheme in schemes], chosen)
    ax.set_xlabel(f"the only part that adapts ({estimates[0].step:,} steps); whiskers: 95 % CI")
    legend_above(figure, ax, columns=2)
    return figure


def adaptation_curves(evaluation: dict[str, Any]) -> Figure:
    """Metric against adaptation steps, one line per scheme (Figs. 7b, 9b, 13 b,e,h)."""
    figure, ax = canvas()
    styles = scheme_styles(evaluation)
    for scheme in evaluation["schemes"]:
        style = styles[scheme["name"]]
        curve(ax, scheme, **style, label=_scheme_label(scheme, style))
    values = [number(value) for scheme in evaluation["schemes"] for value in scheme["mean"]]
    log_if_wide(ax, values)
    steps = [step for scheme in evaluation["schemes"] for step in scheme["steps"]]
    step_axis(ax, steps, [evaluation["train_adaptation_steps"]])
    ax.set_ylabel(metric_label(evaluation))
    legend_below(figure, ax)
    return figure


def _scheme_label(scheme: dict[str, Any], style: dict[str, Any]) -> str:
    """What adapts, in the legend; the many grey lines share one entry."""
    if scheme["kind"] == "single":
        return "any other single part" if style["color"] == PALE else f"only {scheme['name']}"
    if scheme["kind"] == "ranked":
        return "those of the largest σ²"
    return {"all": "everything adapts", "none": "nothing adapts"}.get(
        scheme["kind"], "selected modules"
    )


def learning_curves(
    rows: Sequence[dict[str, Any]], task_specific: Sequence[str], metric_title: str
) -> Figure | None:
    """Losses, held-out metric and sigma^2 per module over meta-steps; None without any of them."""
    panels = [
        ("negative log-likelihood", ["nll_train", "nll_val"]),
        (metric_title, ["metric"]),
        ("σ² (squared parameter units)", keys_with(rows, "sigma2/")),
    ]
    panels = [(label, [k for k in keys if series(rows, k)[0].size]) for label, keys in panels]
    panels = [(label, keys) for label, keys in panels if keys]
    if not panels:
        return None
    figure = Figure(figsize=(WIDTH, 3.3 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for ax, (label, keys) in zip(grid, panels, strict=True):
        tidy(ax)
        _learning_panel(ax, rows, keys, task_specific)
        ax.set_ylabel(label)
    grid[-1].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    grid[-1].set_xlabel("meta-step")
    return figure


def _learning_panel(
    ax: Axes, rows: Sequence[dict[str, Any]], keys: list[str], task_specific: Sequence[str]
) -> None:
    """One line per key; many modules: the task-specific ones coloured, the others grey."""
    names = {"nll_train": "training data", "nll_val": "validation data", "metric": "held-out tasks"}
    for i, key in enumerate(keys):
        module = key.removeprefix("sigma2/")
        style: dict[str, Any] = {
            "color": CYCLE[i % MOST_LINES],
            "linewidth": 1.4,
            "linestyle": DASHES[i % 2],
        }
        label = names.get(key, module)
        if len(keys) > MOST_LINES:
            special = module in task_specific
            style = {"color": TASK_SPECIFIC if special else SHARED, "linewidth": 1.0, "alpha": 0.7}
            label = "task-specific modules" if special else "shared modules"
        elif module in task_specific:
            label += " (task-specific)"
        steps, values = series(rows, key)
        if key.startswith("nll_") and len(steps) >= NOISY:
            ax.plot(steps, values, color=style["color"], linewidth=0.7, alpha=0.3)
            values = running_median(values)
        ax.plot(steps, values, label=text(label), **style)
    if keys[0].startswith("sigma2/"):
        ax.set_yscale("log")
        ax.axhline(SIGMA2_FLOOR, color=INK, linestyle=":", linewidth=1.2)
    else:
        log_if_wide(ax, [value for key in keys for value in series(rows, key)[1]])
    ax.legend(
        **legend_entries(ax),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        frameon=False,
        fontsize=9,
    )


def parameter_error_panels(evaluations: Sequence[tuple[str, dict[str, Any]]]) -> Figure:
    """Mean absolute error of each parameter against adaptation steps, one panel each (Fig. 8)."""
    figure = Figure(figsize=(max(WIDTH, 3.3 * len(evaluations)), 3.9), layout="constrained")
    axes = figure.subplots(1, len(evaluations), sharey=True, squeeze=False)[0]
    for ax, (name, evaluation) in zip(axes, evaluations, strict=True):
        tidy(ax)
        error = evaluation["parameter_error"]
        for i, (parameter, mean) in enumerate(zip(error["names"], error["mean"], strict=True)):
            style = {
                "color": CYCLE[i % MOST_LINES],
                "linestyle": DASHES[i * 2 // len(error["names"])],
            }
            ax.plot(error["steps"], [number(m) for m in mean], label=text(parameter), **style)
        step_axis(ax, error["steps"], [evaluation["train_adaptation_steps"]])
        ax.set_title(text(name), loc="left", pad=18, fontsize=11)
    axes[0].set_ylabel("mean absolute error (parameter units)")
    legend_below(figure, axes[0], columns=4)
    return figure


def example_predictions(evaluation: dict[str, Any]) -> Figure:
    """Up to four held-out 1-D tasks: truth, training points, predictions (Fig. 13 c,f,i)."""
    examples = evaluation["examples"]
    examples = examples[: 4 if len(examples) >= 4 else 2]
    lines, columns = math.ceil(len(examples) / 2), min(len(examples), 2)
    figure = Figure(figsize=(WIDTH, 2.9 * lines + 0.7), layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    styles = scheme_styles(evaluation)
    shown = [s for s in evaluation["schemes"] if styles[s["name"]]["color"] != PALE]
    for ax, example in zip(axes.flat, examples, strict=True):
        tidy(ax)
        ax.plot(example["x"], example["truth"], color="#B8BEC6", linewidth=5, label="truth")
        ax.plot(example["train_x"], example["train_y"], "o", color=INK, ms=5, label="training data")
        for scheme in [s for s in shown if s["name"] in example["predictions"]]:
            style = styles[scheme["name"]]
            label = text(_scheme_label(scheme, style))
            ax.plot(example["x"], example["predictions"][scheme["name"]], label=label, **style)
    for ax in axes[-1]:
        ax.set_xlabel("input x")
    for ax in axes[:, 0]:
        ax.set_ylabel("output y")
    legend_below(figure, axes[0, 0])
    return figure
