"""Methods compared over seeds, as tables and files: methods.md, methods.csv, methods.png."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meta_shrink.errors import UsageError
from meta_shrink.reporting.evaluation_file import load_evaluation, readable_bytes
from meta_shrink.reporting.held_out import listed_numbers
from meta_shrink.reporting.methods import MEASURES, Compared, Row, method_row, timing_rows
from meta_shrink.reporting.methods_figure import methods_figure
from meta_shrink.reporting.page import csv_bytes, png_bytes, write_files
from meta_shrink.reporting.style import metric_label
from meta_shrink.reporting.wording import Table, listed, markdown_table

HEADS = {
    "everything": "everything adapts",
    "task_specific": "task-specific only",
    "everything_inductive": "everything, inductive",
    "task_specific_inductive": "task-specific only, inductive",
}
ONE_SEED = " †"  # behind an interval, where other rows have more seeds
INDUCTIVE = (
    " Inductive: batch normalisation with the moments of the task's training data; elsewhere with "
    "those of the tested batch."
)


def write_methods(out_dir: str | Path, name: str, methods: Sequence[Compared], note: str) -> Table:
    """Writes methods.md, .csv and .png.

    Args:
      out_dir: made if it is not there.
      name: of the comparison.
      methods: in the order of the rows to be; one without a finished run is left out.
      note: what was run, below the table.

    Returns:
      The table as a reader wants it.

    Raises:
      ArtefactError: an evaluation is missing or broken.
      UsageError: no finished run, different metrics, or a directory that cannot be written.
    """
    loaded = [(m, [load_evaluation(w) for w in m.workdirs]) for m in methods if m.workdirs]
    if not loaded:
        raise UsageError(f"the comparison {name} has no finished run yet; there is no table.")
    evaluations = [evaluation for _, found in loaded for evaluation in found]
    metrics = sorted({evaluation["metric"]["name"] for evaluation in evaluations})
    if len(metrics) > 1:
        raise UsageError(f"the runs of {name} have {len(metrics)} metrics: {', '.join(metrics)}.")
    rows = [method_row(m, found, timing_rows(m.workdirs)) for m, found in loaded]
    label, table = metric_label(evaluations[0]), readable_rows(rows)
    errors = evaluations[0]["metric"]["lower_is_better"]
    text = f"{caption(name, label, rows)}\n\n{markdown_table(table.columns, table.rows)}\n\n"
    files = {
        "methods.csv": csv_bytes(*all_numbers(rows)),
        "methods.png": png_bytes(methods_figure(rows, label, logarithmic=errors)),
        "methods.md": f"{text}![Methods compared](methods.png)\n\n{note}\n".encode(),
    }
    write_files(Path(out_dir), files)
    return table


def _measures_of(rows: Sequence[Row]) -> list[str]:
    return [name for name, *_ in MEASURES if any(name in row.measures for row in rows)]


def _x_columns(rows: Sequence[Row]) -> list[str]:
    """Columns of x: one with its own title, or x and what it is."""
    labels = {row.method.x_label for row in rows if row.method.x is not None}
    return ["at", "x"] if len(labels) > 1 else [label or "x" for label in labels]


def readable_rows(rows: Sequence[Row]) -> Table:
    """The table for people."""
    measures, x_columns = _measures_of(rows), _x_columns(rows)
    several = any(len(row.method.workdirs) > 1 for row in rows)
    lines = []
    for row in rows:
        seeds = len(row.method.workdirs)
        at = [row.method.x_label, f"{row.method.x:g}" if row.method.x is not None else "–"]
        cells = [_cell(row, name, ONE_SEED if several else "") for name in measures]
        found = [f"{name} ({count}/{seeds})" for name, count in (row.found or {}).items()]
        sizes = dict.fromkeys(readable_bytes(size) for size in row.adapter_bytes)
        lines.append(
            [
                row.title,
                *(at[-len(x_columns) :] if x_columns else []),
                f"{seeds}/{row.method.seeds}",
                *cells,
                "–" if row.found is None else listed(found) if found else "none",
                " to ".join(sizes),
                f"{row.meta_steps:,}",
                f"{row.seconds:.3g}" if math.isfinite(row.seconds) else "–",
                f"{row.peak_mib:,.0f}" if math.isfinite(row.peak_mib) else "–",
            ]
        )
    heads = ["method", *x_columns, "seeds", *(HEADS[name] for name in measures)]
    heads += ["selected by the rule (seeds)", "stored per task", "meta-steps", "s / meta-step"]
    return Table([*heads, "peak memory (MiB)"], lines, [])


def _cell(row: Row, name: str, mark: str) -> str:
    """A metric for people; it tells where fewer seeds have it than the row, and marks one seed."""
    if name not in row.measures:
        return "–"
    interval, seeds = row.measures[name], len(row.method.workdirs)
    some = f" ({len(interval.values)} of {seeds} seeds)" if len(interval.values) < seeds else ""
    return f"{interval}{some}{mark if len(interval.values) == 1 else ''}"


def caption(name: str, label: str, rows: Sequence[Row]) -> str:
    """What the numbers are, and what their intervals are over."""
    intervals = [interval for row in rows for interval in row.measures.values()]
    counts = {len(interval.values) for interval in intervals}
    tasks = listed_numbers(sorted({count for row in rows for count in row.num_tasks}))
    over = f"the {tasks} held-out tasks of one seed" if 1 in counts else ""
    if max(counts, default=1) > 1:
        student = f"seeds (Student's t; {tasks} held-out tasks each)"
        over = f"{student}; with{ONE_SEED} over {over}" if over else student
    steps = listed_numbers(sorted({interval.step for interval in intervals}))
    return (
        f"{name}: {' '.join(label.split())} after {steps} adaptation steps, mean ± 95 % confidence "
        f"interval over {over}.{INDUCTIVE if 'everything_inductive' in _measures_of(rows) else ''}"
    )


def all_numbers(rows: Sequence[Row]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows for CSV, numbers unrounded."""
    measures = _measures_of(rows)
    columns = ["method", "x_label", "x", "seeds_done", "seeds"]
    for name in measures:
        columns += [f"{name}_{what}" for what in ("mean", "ci95", "seeds")]
    lines = []
    for row in rows:
        method, x = row.method, "" if row.method.x is None else row.method.x
        line = [row.title, method.x_label, x, len(method.workdirs), method.seeds]
        for name in measures:
            interval = row.measures.get(name)
            line += [interval.mean, interval.ci95, len(interval.values)] if interval else [""] * 3
        found = " ".join(f"{name}:{count}" for name, count in (row.found or {}).items())
        line += [found, *row.adapter_bytes, row.meta_steps, row.seconds, row.peak_mib]
        lines.append(line)
    columns += ["task_specific_modules", "adapter_bytes_min", "adapter_bytes_max", "meta_steps"]
    return [*columns, "seconds_per_meta_step", "peak_rss_mib"], lines
