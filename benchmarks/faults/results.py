"""The lines of the table, kept in a folder part by part, and the page that is made of them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

# met -> its word in the table; None is a figure without a goal, or one that was not measured.
WORDS = {True: "yes", False: "**no**", None: "–"}


class Row(NamedTuple):
    """One line of the table. met: whether the goal was met, in this size; None: no saying."""

    figure: str
    what: str
    goal: str
    found: str
    met: bool | None


def not_measured(figure: str, what: str, goal: str, why: str) -> Row:
    """The line of a figure that this table owes."""
    return Row(figure, what, goal, f"not measured: {why}", None)


class Result(NamedTuple):
    """What a part of the measures found. seconds: of the processor, of all its processes."""

    size: str
    commit: str
    seconds: float
    rows: Sequence[Row]


class Results:
    """Results by the name of their part, in a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        os.makedirs(folder, exist_ok=True)

    def save(self, part: str, result: Result) -> None:
        """Keep what a part found."""
        path = self._path(part)
        with open(f"{path}.tmp", "w", encoding="utf-8") as file:
            json.dump(result._asdict(), file, indent=1)
        os.replace(f"{path}.tmp", path)

    def load(self, part: str) -> Result | None:
        """What a part found, or None."""
        if not os.path.exists(self._path(part)):
            return None
        with open(self._path(part), encoding="utf-8") as file:
            content: dict[str, Any] = json.load(file)
        rows = [Row(*row) for row in content.pop("rows")]
        return Result(rows=rows, **content)

    def _path(self, part: str) -> str:
        return os.path.join(self._folder, f"{part}.json")


def line(row: Row, commit: str = "") -> str:
    """One line of the table."""
    cells = [*row[:4], WORDS[row.met], *([commit] if commit else [])]
    return f"| {' | '.join(cells)} |"


def page(results: Sequence[Result], owed: Sequence[Row]) -> str:
    """The results and what is owed, as a page."""
    lines = [(row, result.commit) for result in results for row in result.rows]
    lines += [(row, "–") for row in owed]
    lines.sort(key=lambda pair: (pair[0].figure[0], int(pair[0].figure.split()[0][1:])))
    sizes = " and ".join(sorted({result.size for result in results}))
    minutes = sum(result.seconds for result in results) / 60
    head = [
        "# Faults",
        "",
        "What we ask of a run that is killed, stopped, damaged or out of disk (R1 to R17), and of "
        "adapters and a server under load (S1 to S9), measured on the real programs; each line "
        "says its goal. S7 and S8 are of a network with random weights here, and of a trained "
        "voice in [voices_size.md](voices_size.md). The network of S1, S4 and S5 is tiny here, "
        "0.08 ms a row, so that whatever stands beside it shows; networks in use are in "
        "[serving.md](serving.md). `make faults` measures part by part what has no result of this "
        "commit yet, and writes this page; `make faults NIGHTLY=1` takes hours. "
        f"Size here: {sizes}; {minutes:.0f} minutes of the processor.",
        "",
        f"{os.cpu_count()} cores, Python {platform.python_version()}, TensorFlow {tf.__version__}. "
        "Seconds are those of the processor unless a line says otherwise, and speeds are ratios of "
        "cases that take turns: other work on the machine hardly changes either. The last column "
        "is the commit that was measured, with + where files were changed.",
        "",
        "| | what | goal | found | met | commit |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(line(row, commit) for row, commit in lines), ""])
