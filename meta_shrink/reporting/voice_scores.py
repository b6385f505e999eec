"""The page of a comparison of voices: one table, and box plots beside the bounds (Fig. 5)."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_shrink.durable_files import check_writable, real_directory, to_json, write_atomically
from meta_shrink.errors import unwritable
from meta_shrink.reporting.evaluation_file import plus_minus
from meta_shrink.reporting.style import CYCLE, INK, PALE, text, tidy
from meta_shrink.reporting.wording import Table, markdown_table

PAGE, PICTURE, NUMBERS = "scores.md", "scores.png", "scores.json"
REAL = "real"
MEASURES = {
    "similarity": "cosine to the speaker's mean embedding",
    "naturalness": "opinion of distillmos, 1 to 5",
    "intelligibility": "fit of the words to the sound",
}
MEANING = """\
- **Similarity**: the cosine of an utterance's embedding to the mean embedding of its speaker's real
  recordings, without the recording of the same name. The lowest row has real recordings and the
  means of other speakers: a voice lies between it and the real ones. A buzz with a speaker's
  spectrum is also like the speaker: read it beside intelligibility.
- **Naturalness**: what distillmos says of each utterance, from 1 to 5; no person has listened.
- **Intelligibility**: {intelligibility}
- ± is the 95 % interval of the mean over speakers (Student's t), "less real" the difference to the
  real recordings, paired by speaker. Boxes show quartiles over utterances, whiskers 5 to 95 %.
"""


def open_out(folder: str) -> None:
    """Makes the folder of a result.

    Raises:
      UsageError, DiskError: it cannot be written.
    """
    try:
        real_directory(folder)
        check_writable(folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def write_scores(folder: str, scores: Mapping[str, Any]) -> list[str]:
    """Writes picture, page and numbers of a comparison, each whole; their paths.

    Args:
      scores: of `scores` (speech.scores.score), with "verifier" {"name", ...}, "left_out" and
        "intelligibility", what it means.

    Raises:
      UsageError, DiskError: a file cannot be written.
    """
    content = {
        PICTURE: _png(scores_figure(scores)),
        PAGE: scores_page(scores).encode(),
        NUMBERS: json.dumps(to_json(scores), indent=1, allow_nan=False).encode() + b"\n",
    }
    paths = []
    for name, written in content.items():
        paths.append(os.path.join(folder, name))
        try:
            write_atomically(paths[-1], written)
        except OSError as error:
            raise unwritable(paths[-1], error) from error
    return paths


def scores_page(scores: Mapping[str, Any]) -> str:
    """The Markdown page."""
    table, verifier = score_table(scores), scores["verifier"]
    told = ""
    if "equal_error_rate" in verifier:
        own, in_noise = verifier["equal_error_rate"], verifier["equal_error_rate_in_noise"]
        told = f"; {own:.1%} on the speakers held out of its training, {in_noise:.1%} in noise"
    parts = [
        "# Voices compared",
        markdown_table(table.columns, table.rows),
        f"![Box plots of {', '.join(_measures(scores))}]({PICTURE})",
        MEANING.format(intelligibility=scores["intelligibility"]).rstrip(),
        f"Verifier: {verifier['name']}; its equal error rate on these real recordings is "
        f"{scores['equal_error_rate']:.1%}{told}.",
        *scores["left_out"],
    ]
    return "\n\n".join(parts) + "\n"


def score_table(scores: Mapping[str, Any]) -> Table:
    """A row for each of what is compared: means over speakers, and differences to the real."""
    measures = _measures(scores)
    columns = ["", "utterances"]
    for measure in measures:
        columns += [measure, "less real"]
    rows = []
    for name, row in scores["compared"].items():
        cells = [name, str(row.get("utterances", ""))]
        for measure in measures:
            found = row.get(measure)
            cells += [_estimate(found), _estimate(found and found["less_real"], name == REAL)]
        rows.append(cells)
    return Table(columns, rows, [])


def scores_figure(scores: Mapping[str, Any]) -> Figure:
    """Box plots, a panel for each measure; dashed lines are the medians of the bounds."""
    measures = _measures(scores)
    rows = scores["compared"]
    height = 1.2 + 0.4 * len(rows)
    figure = Figure(figsize=(4.2 * len(measures) + 1.5, height), layout="constrained")
    for ax, measure in zip(
        figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True
    ):
        _boxes(ax, {name: row[measure]["box"] for name, row in rows.items() if measure in row})
        ax.set_xlabel(MEASURES[measure])
        ax.set_title(measure)
    return figure


def _boxes(ax: Axes, boxes: Mapping[str, list[float]]) -> None:
    tidy(ax)
    ax.grid(axis="x", color="#E6E8EB", linewidth=0.8)
    drawn = [
        {"label": text(name), "whislo": b[0], "q1": b[1], "med": b[2], "q3": b[3], "whishi": b[4]}
        for name, b in boxes.items()
    ]
    found = ax.bxp(
        drawn, orientation="horizontal", showfliers=False, patch_artist=True, widths=0.6,
        medianprops={"color": INK},
    )  # fmt: skip
    bounds = [name for name in boxes if name.startswith(REAL)]
    for patch, name in zip(found["boxes"], boxes, strict=True):
        patch.set_facecolor(PALE if name in bounds else CYCLE[0])
    for name in bounds:
        ax.axvline(boxes[name][2], color=INK, linestyle=(0, (3, 2)), linewidth=0.8, zorder=0)
    ax.invert_yaxis()


def _measures(scores: Mapping[str, Any]) -> list[str]:
    return [measure for measure in MEASURES if measure in scores["compared"][REAL]]


def _estimate(found: Mapping[str, float] | None, hidden: bool = False) -> str:
    if not found or hidden:
        return ""
    if not math.isfinite(found["ci95"]):
        return f"{found['mean']:.3g}"
    return plus_minus(found["mean"], found["ci95"])


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120, metadata={"Software": None})
    return content.getvalue()
