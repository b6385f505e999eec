"""Tables and figure of the benchmark of adapter sizes."""

from __future__ import annotations

import csv
import io
import math
import os
import platform
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.adapter_size_measure import Size, Study
from meta_shrink.intervals import mean_and_ci95
from meta_shrink.reporting import style as plotting

MARKERS = ("o", "s", "^", "D")
# Points whose sizes differ by a smaller factor share a label.
NEAR = 1.15
COLUMNS = ("modules", "share_of_parameters", "encoding", "bytes", "mean", "ci95")
COLUMNS += ("difference_to_all", "difference_ci95", "within_ci95_of_all", "seconds_per_step")
COLUMNS += ("times_faster_than_all", "last_modules", "selected", "names")


class Row(NamedTuple):
    """One size in one encoding; the reference is all modules in the first encoding."""

    size: Size
    encoding: str
    num_bytes: int
    mean: float
    ci95: float
    difference: float
    difference_ci95: float
    within: bool


def rows(study: Study) -> list[Row]:
    """Of every size and encoding, the smallest first."""
    reference = _reference(study)
    full_ci95 = mean_and_ci95(reference)[1]
    found = []
    for size in study.sizes:
        for encoding, values in size.metric.items():
            mean, ci95 = map(float, mean_and_ci95(values))
            difference, half = map(float, mean_and_ci95(values - reference))
            worse = difference if study.metric.lower_is_better else -difference
            within = bool(worse <= full_ci95)
            num_bytes = round(float(np.median(size.num_bytes[encoding])))
            found.append(Row(size, encoding, num_bytes, mean, ci95, difference, half, within))
    return found


def _reference(study: Study) -> np.ndarray:
    """[T] of all modules in the first encoding."""
    return next(iter(study.sizes[-1].metric.values()))


def speed_up(study: Study, size: Size) -> float:
    """Median over tasks of the time of a step of all modules over that of these."""
    return float(np.median(study.sizes[-1].seconds / size.seconds))


def markdown(study: Study) -> str:
    """Both tables, and what they are of."""
    tasks = len(study.sizes[0].seconds)
    encodings = ", ".join(study.sizes[0].metric)
    first = encodings.partition(",")[0]
    head = (
        f"`{study.name}`, seed {study.seed}: {tasks} held-out tasks, {study.steps} steps each; "
        f"means ± 95 % confidence intervals over tasks; differences are paired, to all modules "
        f"in {first}; **bold**: what the run's config selects. Bytes are those of the whole file, "
        f"with moments and manifest. TensorFlow {tf.__version__}, {platform.machine()}, "
        f"{tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()} thread(s)."
    )
    return f"{head}\n\n{_sizes_table(study)}\n\n{_speed_table(study)}\n"


def _sizes_table(study: Study) -> str:
    found = rows(study)
    whole = found[-len(study.sizes[-1].metric)].num_bytes
    lines = [
        f"| modules | parameters | encoding | bytes | of all | {study.metric.name} | "
        "difference to all | within all's interval |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        within = "yes" if row.within else "no"
        lines.append(
            f"| {_count(study, row.size)} | {row.size.share:.2%} | {row.encoding} | "
            f"{row.num_bytes:,} | {row.num_bytes / whole:.2%} | {row.mean:.4f} ± {row.ci95:.4f} | "
            f"{round(row.difference, 4) + 0.0:+.4f} ± {row.difference_ci95:.4f} | {within} |"
        )
    return "\n".join(lines)


def _speed_table(study: Study) -> str:
    lines = [
        "| modules | the last ones | ms per step | faster than all | which |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {_count(study, size)} | {'yes' if size.last else 'no'} | "
        f"{1e3 * np.median(size.seconds):.2f} | {speed_up(study, size):.2f} × | "
        f"{', '.join(size.modules)} |"
        for size in study.sizes
    ]
    return "\n".join(lines)


def _count(study: Study, size: Size) -> str:
    text = str(len(size.modules))
    text = f"all {text}" if size is study.sizes[-1] else text
    return f"**{text}**" if size.chosen else text


def csv_text(study: Study) -> str:
    """A line for each size and encoding."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows(study):
        size = row.size
        numbers = (row.mean, row.ci95, row.difference, row.difference_ci95)
        writer.writerow(
            [len(size.modules), f"{size.share:.6g}", row.encoding, row.num_bytes]
            + [f"{value:.6g}" for value in numbers]
            + [row.within, f"{np.median(size.seconds):.6g}", f"{speed_up(study, size):.4g}"]
            + [size.last, size.chosen, " ".join(size.modules)]
        )
    return stream.getvalue()


def figure(study: Study) -> Figure:
    """The metric against the bytes of a file, a line for each encoding."""
    canvas, ax = plotting.canvas()
    found, first = rows(study), next(iter(study.sizes[0].metric))
    mean, ci95 = map(float, mean_and_ci95(_reference(study)))
    ax.axhspan(
        mean - ci95, mean + ci95, color="#E6E8EB", zorder=0, label=f"95 % interval of all, {first}"
    )
    for number, encoding in enumerate(study.sizes[0].metric):
        line = [row for row in found if row.encoding == encoding]
        _line(ax, line, encoding, number)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.12 * (high - low))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _bytes(value)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("size of an adapter's file; numbers: how many modules it holds")
    better = "lower" if study.metric.lower_is_better else "higher"
    ax.set_ylabel(f"held-out {study.metric.name} ({better} is better)")
    plotting.legend_below(canvas, ax)
    return canvas


def _line(ax: Axes, line: list[Row], label: str, number: int) -> None:
    """Numbers of modules stand above the intervals, at a height for each encoding."""
    x, y, half = ([getattr(row, field) for row in line] for field in ("num_bytes", "mean", "ci95"))
    colour = plotting.CYCLE[number]
    style = {"color": colour, "marker": MARKERS[number], "markersize": 5, "linewidth": 1.6}
    ax.errorbar(x, y, half, label=label, capsize=2.5, elinewidth=0.9, **style)
    for row in line:
        if row.size.chosen:
            ring = {"s": 130, "facecolors": "none", "linewidths": 1.8, "zorder": 5}
            ring |= {"edgecolors": plotting.TASK_SPECIFIC, "label": "selected by the config"}
            ax.scatter(row.num_bytes, row.mean, **ring)
    for near in neighbours(line):
        ax.annotate(
            ",".join(str(len(row.size.modules)) for row in near),
            (math.sqrt(near[0].num_bytes * near[-1].num_bytes), _top(near)),
            xytext=(0, 3 + 11 * number),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            fontweight="bold",
            color=colour,
        )


def neighbours(line: list[Row]) -> list[list[Row]]:
    """Points in groups that are too near each other for a label each."""
    groups: list[list[Row]] = []
    for row in line:
        if groups and row.num_bytes < NEAR * groups[-1][-1].num_bytes:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _top(near: list[Row]) -> float:
    return max(row.mean + row.ci95 for row in near)


def _bytes(value: float) -> str:
    return f"{value / 1e6:g} MB" if value >= 1e6 else f"{value / 1e3:g} kB"
