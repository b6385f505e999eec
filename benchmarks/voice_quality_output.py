"""Tables and picture of the benchmark of voices' size and quality."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_shrink.reporting import style
from meta_shrink.reporting.evaluation_file import plus_minus
from meta_shrink.reporting.wording import markdown_table
from meta_shrink.speech.scores.estimates import Estimate, over_speakers, paired
from meta_shrink.speech.scores.similarity import Values

REAL, OTHERS, ANOTHER = "real", "real, other speakers", "12, of another speaker"
SELECTED = 12  # modules that the config selects.
BITS = "bits per sample"
MEASURES = ("similarity", "naturalness", "intelligibility")
# A difference that no interval here is narrower than.
NEAR_BITS = 0.005
Row = Mapping[str, Any]
Key = tuple[int | str, str]  # modules, encoding


def write(rows: Sequence[Row], out: Path) -> None:
    """voices.md and voices.png."""
    found = whole(rows)
    lines = [*table(found), "", *speakers_table(found)]
    out.mkdir(parents=True, exist_ok=True)
    (out / "voices.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    figure(found).savefig(out / "voices.png", dpi=110)
    print("\n".join(lines))


def whole(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    """The rows of each size, of the speakers that have all sizes."""
    by_key: dict[Key, dict[str, Row]] = {}
    for row in rows:
        by_key.setdefault((row["modules"], row["encoding"]), {})[row["speaker"]] = row
    complete = set.intersection(*(set(own) for own in by_key.values()))
    return {key: [own[s] for s in sorted(complete)] for key, own in by_key.items()}


def values(rows: Sequence[Row], measure: str) -> Values:
    """By speaker and sentence; nothing where it was not measured."""
    if measure == BITS:
        return {row["speaker"]: {"": row["bits"]} for row in rows if "bits" in row}
    return {
        row["speaker"]: {name: own[measure] for name, own in row["scores"].items()}
        for row in rows
        if all(measure in own for own in row["scores"].values())
    }


def everything(found: Mapping[Key, Sequence[Row]]) -> Key:
    """All modules in the first encoding."""
    most = max(modules for modules, _ in found if isinstance(modules, int))
    return next(key for key in found if key[0] == most)


def _ordered(found: Mapping[Key, Sequence[Row]]) -> list[Key]:
    sizes = sorted((key for key in found if isinstance(key[0], int)), key=lambda key: key[0])
    return [*sizes, *((name, "") for name in (ANOTHER, REAL, OTHERS) if (name, "") in found)]


def measures_of(found: Mapping[Key, Sequence[Row]]) -> list[str]:
    """Those that there are."""
    return [BITS, *(m for m in MEASURES if values(found[everything(found)], m))]


def table(found: Mapping[Key, Sequence[Row]]) -> list[str]:
    """Means over speakers, and paired differences to all modules."""
    shown, full = measures_of(found), found[everything(found)]
    columns = ["modules", "encoding", "bytes", "s a step"]
    for measure in shown:
        columns += [measure, "less all"]
    cells = []
    for modules, encoding in _ordered(found):
        rows = found[modules, encoding]
        size = [row["bytes"] for row in rows if "bytes" in row]
        step = [row["step_seconds"] for row in rows if "step_seconds" in row]
        line = [str(modules), encoding, f"{statistics.median(size):,.0f}" if size else ""]
        line.append(f"{statistics.median(step):.3f}" if step else "")
        for measure in shown:
            own, other = values(rows, measure), values(full, measure)
            line += _estimates(own, other, hidden=rows is full)
        cells.append(line)
    count = len(full)
    head = f"{count} held-out speakers; means ± 95 % (Student's t), differences paired by speaker."
    return [head, "", *markdown_table(columns, cells).splitlines()]


def _estimates(own: Values, other: Values, *, hidden: bool) -> list[str]:
    if not own:
        return ["", ""]
    less = "" if hidden else plus_minus(*paired(own, other))
    return [plus_minus(*over_speakers(own)), less]


def speakers_table(found: Mapping[Key, Sequence[Row]]) -> list[str]:
    """Bits of each speaker in the first encoding, and the smallest adapter as good as all."""
    last = everything(found)
    sizes = [key for key in _ordered(found) if isinstance(key[0], int) and key[1] in ("", last[1])]
    cells = []
    for number, row in enumerate(found[last]):
        bits = [found[key][number]["bits"] for key in sizes]
        enough = next(k for k, b in zip(sizes, bits, strict=True) if b <= bits[-1] + NEAR_BITS)
        size = f"{enough[0]} ({found[enough][number]['bytes']:,})"
        cells.append([row["speaker"], *(f"{value:.3f}" for value in bits), size])
    columns = ["speaker", *(str(key[0]) for key in sizes), "as good as all (bytes)"]
    head = f"{BITS} by modules ({last[1]}); as good: at most {NEAR_BITS:g} above all."
    return [head, "", *markdown_table(columns, cells).splitlines()]


def figure(found: Mapping[Key, Sequence[Row]]) -> Figure:
    """A panel a measure, against the bytes of a file; a line an encoding, the bounds dashed.

    Bits are the differences to no adapter, paired by speaker: speakers differ more than adapters.
    """
    shown = measures_of(found)
    canvas = Figure(figsize=(4.2 * len(shown), 4.2), layout="constrained")
    axes = canvas.subplots(1, len(shown), squeeze=False)[0]
    for axis, measure in zip(axes, shown, strict=True):
        style.tidy(axis)
        _panel(axis, found, measure)
    handles, labels = axes[1].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
    return canvas


def _panel(axis: Axes, found: Mapping[Key, Sequence[Row]], measure: str) -> None:
    encodings = dict.fromkeys(e for modules, e in found if isinstance(modules, int) and modules)
    for number, encoding in enumerate(encodings):
        sizes = [key for key in _ordered(found) if key[0] != 0 and key[1] == encoding]
        heard = [_drawn(found, key, measure) for key in sizes]
        size = [statistics.median(row["bytes"] for row in found[key]) for key in sizes]
        options = {"color": style.CYCLE[number], "marker": "os^D"[number], "capsize": 2.5}
        mean, half = [e.mean for e in heard], [e.ci95 for e in heard]
        axis.errorbar(size, mean, half, label=encoding, elinewidth=0.9, **options)
        for key, x, y in zip(sizes, size, mean, strict=True):
            place = {"xytext": (4, 4 - 12 * number), "textcoords": "offset points"}
            axis.annotate(str(key[0]), (x, y), fontsize=8, **place)
    bounds: dict[Key, str] = {(0, ""): "no adapter", (ANOTHER, ""): "another's adapter"}
    bounds |= {(REAL, ""): REAL, (OTHERS, ""): OTHERS}
    for (key, label), dashes in zip(bounds.items(), ("-", "-.", "--", ":"), strict=True):
        if values(found.get(key, ()), measure):
            mean = _drawn(found, key, measure).mean
            axis.axhline(mean, color=style.INK, linestyle=dashes, linewidth=0.9, label=label)
    title = f"{BITS} less no adapter" if measure == BITS else measure
    axis.set(xscale="log", xlabel="bytes of an adapter; numbers: its modules", title=title)


def _drawn(found: Mapping[Key, Sequence[Row]], key: Key, measure: str) -> Estimate:
    own = values(found[key], measure)
    return paired(own, values(found[0, ""], BITS)) if measure == BITS else over_speakers(own)
