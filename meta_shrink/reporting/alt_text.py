"""The numbers of a figure in words, for those who do not see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from meta_shrink.reporting.evaluation_file import number

MOST = 12  # bars or curves; more are in the CSV file
Rows = Sequence[Sequence[Any]]


def alt_text(stem: str, columns: Sequence[str], rows: Rows) -> str:
    """What a figure shows, from its numbers: each bar, or where each curve begins and ends."""
    parts = _READERS[stem](columns, rows)
    more = f" and {len(parts) - MOST} more in {stem}.csv" if len(parts) > MOST else ""
    return f"{'; '.join(parts[:MOST])}{more}."


def _sigma2(columns: Sequence[str], rows: Rows) -> list[str]:
    """The largest first, as they are what the figure is about."""
    largest = sorted(rows, key=lambda row: -number(row[1]))
    return [
        f"{name} {_short(value)}{' (task-specific)' * special}" for name, value, special in largest
    ]


def _sizes(columns: Sequence[str], rows: Rows) -> list[str]:
    return [
        f"{count} modules, {size:,} bytes: {_short(mean)} ± {_short(ci95)}"
        for count, size, mean, ci95 in rows
    ]


def _singles(columns: Sequence[str], rows: Rows) -> list[str]:
    return [f"{name} alone {_short(mean)} ± {_short(ci95)}" for name, _, mean, ci95 in rows]


def _curves(columns: Sequence[str], rows: Rows) -> list[str]:
    """Rows (curve, x, y, ...)."""
    curves: dict[Any, list[tuple[Any, Any]]] = {}
    for name, x, y, *_ in rows:
        curves.setdefault(name, []).append((x, y))
    return [_ends(name, columns[1], points) for name, points in curves.items()]


def _training(columns: Sequence[str], rows: Rows) -> list[str]:
    """Rows (meta-step, kind, a number or None for each of the other columns)."""
    curves = {
        name: [(row[0], row[at]) for row in rows if row[at] is not None]
        for at, name in enumerate(columns)
        if at > 1
    }
    return [_ends(name, "meta-step", points) for name, points in curves.items() if points]


def _examples(columns: Sequence[str], rows: Rows) -> list[str]:
    return _curves(columns[1:], [[f"task {task}, {name}", x, y] for task, name, x, y in rows])


def _ends(name: str, x_name: str, points: Sequence[tuple[Any, Any]]) -> str:
    (first, before), (last, after) = points[0], points[-1]
    at = [f"{_short(x)}" for x in (first, last)]
    return f"{name} from {_short(before)} at {x_name} {at[0]} to {_short(after)} at {at[1]}"


def _short(value: Any) -> str:
    return f"{number(value):,.3g}" if abs(number(value)) < 1000 else f"{number(value):,.0f}"


_READERS: dict[str, Callable[[Sequence[str], Rows], list[str]]] = {
    "sigma2": _sigma2,
    "size_quality": _sizes,
    "single_modules": _singles,
    "adaptation": _curves,
    "learning_curves": _training,
    "parameter_error": _curves,
    "examples": _examples,
}
