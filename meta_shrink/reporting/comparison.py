"""Several evaluations side by side: one table, and the figures that show how they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meta_shrink.errors import UsageError
from meta_shrink.reporting.comparison_figure import Named, comparison_curves
from meta_shrink.reporting.evaluation_file import (
    at_horizon,
    check_evaluation,
    find_scheme,
    of_kind,
    quoted_steps,
    sigma2_is_learned,
    title,
)
from meta_shrink.reporting.figures import parameter_error_panels
from meta_shrink.reporting.held_out import held_out_tasks, listed_numbers, tasks_of
from meta_shrink.reporting.page import csv_bytes, png_bytes, write_files
from meta_shrink.reporting.style import metric_label
from meta_shrink.reporting.wording import markdown_table

FIGURE_FILES = (
    "comparison.png",
    "comparison_curves.csv",
    "parameter_error.png",
    "parameter_error.csv",
)


def write_comparison(out_dir: str | Path, evaluations: Sequence[dict[str, Any]]) -> Path:
    """Writes comparison.md, .csv and .png, and parameter_error.png where the truth is known.

    Figures that have no curve, as nobody adapted everything, are left out.

    Args:
      out_dir: made if it is not there.
      evaluations: contents of evaluation.json, in the order of the rows to be.

    Returns:
      The path of comparison.md.

    Raises:
      ArtefactError: an evaluation lacks a key.
      UsageError: no evaluation, different metrics, or a directory that cannot be written.
    """
    if not evaluations:
        raise UsageError("there is no evaluation to compare; name at least one.")
    out_dir = Path(out_dir)
    named = list(zip(_labels(evaluations), evaluations, strict=True))
    metrics = {check_evaluation(e)["metric"]["name"] for e in evaluations}
    if len(metrics) != 1:
        raise UsageError(
            f"the evaluations have {len(metrics)} metrics ({', '.join(sorted(metrics))}); "
            "compare runs of one experiment."
        )
    curves, errors = _all_curves(named), [pair for pair in named if pair[1].get("parameter_error")]
    files = {
        "comparison.csv": csv_bytes(*comparison_rows(named)),
        "comparison.md": comparison_markdown(named, bool(curves), bool(errors)).encode(),
    }
    if curves:
        files["comparison.png"] = png_bytes(comparison_curves(named))
        columns = ["algorithm", "step", "mean", "ci95"]
        files["comparison_curves.csv"] = csv_bytes(columns, curves)
    if errors:
        files["parameter_error.png"] = png_bytes(parameter_error_panels(errors))
        columns = ["algorithm", "parameter", "step", "error"]
        files["parameter_error.csv"] = csv_bytes(columns, _all_errors(errors))
    write_files(out_dir, files, [name for name in FIGURE_FILES if name not in files])
    return out_dir / "comparison.md"


def _labels(evaluations: Sequence[dict[str, Any]]) -> list[str]:
    """The algorithms' names; where one occurs twice, its experiment and a running number too."""
    names = [title(evaluation) for evaluation in evaluations]
    twice = {name for name, count in Counter(names).items() if count > 1}
    return [
        f"{name} ({evaluation['experiment']}, run {i})" if name in twice else name
        for i, (name, evaluation) in enumerate(zip(names, evaluations, strict=True), start=1)
    ]


def _single_names(named: Named) -> list[str]:
    """Names of the parts adapted alone, in order of first appearance."""
    names = [s["name"] for _, evaluation in named for s in of_kind(evaluation, "single")]
    return list(dict.fromkeys(names))


def _task_specific(evaluation: dict[str, Any]) -> str:
    """The modules found, by name; a dash where the algorithm does not look for them."""
    if not sigma2_is_learned(evaluation):
        return "–"
    return ", ".join(evaluation["selection"]["modules"]) or "none"


def comparison_rows(named: Named) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows for CSV: mean, 95 % interval and number of tasks of every scheme where
    results are quoted."""
    singles = _single_names(named)
    wanted = [("all", ""), ("selected", ""), ("none", ""), *(("single", name) for name in singles)]
    columns = ["algorithm", "meta_step", "adaptation_steps"]
    for kind, name in wanted:
        columns += [f"{name or kind} mean", f"{name or kind} ci95", f"{name or kind} tasks"]
    rows = []
    for label, evaluation in named:
        row = [label, evaluation["meta_step"], quoted_steps(evaluation)]
        for kind, name in wanted:
            scheme = find_scheme(evaluation, kind, name)
            row += at_horizon(evaluation, scheme)[1:] if scheme else ["", ""]
            row += [tasks_of(evaluation, scheme) if scheme else ""]
        rows.append([*row, _task_specific(evaluation)])
    return [*columns, "task_specific"], rows


def comparison_markdown(named: Named, has_curves: bool, has_errors: bool) -> str:
    """The table for people, with a sentence on how to read it and the figures."""
    singles = _single_names(named)
    head = ["algorithm", "everything", "task-specific only", "nothing"]
    head += [f"only {name}" for name in singles] + ["modules selected by the rule"]
    wanted = [("all", ""), ("selected", ""), ("none", ""), *(("single", name) for name in singles)]
    lines = []
    for label, evaluation in named:
        found = [find_scheme(evaluation, *key) for key in wanted]
        cells = [str(at_horizon(evaluation, scheme)) if scheme else "–" for scheme in found]
        lines.append([label, *cells, _task_specific(evaluation)])
    table = markdown_table(head, lines)
    first = named[0][1]
    steps = sorted({quoted_steps(evaluation) for _, evaluation in named})
    pictures = "\n"
    pictures += "\n![Metric against adaptation steps](comparison.png)\n" if has_curves else ""
    pictures += "\n![Error of each parameter](parameter_error.png)\n" if has_errors else ""
    metric = " ".join(metric_label(first).split()).capitalize()
    return (
        f"{metric} when only the named part of the network adapts: mean "
        f"± 95 % confidence interval over {held_out_tasks([e for _, e in named])}, after "
        f"{listed_numbers(steps)} adaptation steps.\n\n"
        f"{table}{pictures}"
    )


def _all_curves(named: Named) -> list[list[Any]]:
    schemes = [(label, s) for label, e in named for s in of_kind(e, "all")]
    return [
        [label, *point]
        for label, s in schemes
        for point in zip(s["steps"], s["mean"], s["ci95"], strict=True)
    ]


def _all_errors(named: Named) -> list[list[Any]]:
    return [
        [label, name, step, value]
        for label, evaluation in named
        for name, mean in zip(
            *(evaluation["parameter_error"][k] for k in ("names", "mean")), strict=True
        )
        for step, value in zip(evaluation["parameter_error"]["steps"], mean, strict=True)
    ]
