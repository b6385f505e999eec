"""What became of the faults: a line each, and a Markdown page of all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tests.mutants.faults import Fault
from tests.mutants.processes import CRASHED, TOO_LONG, Outcome


class Result(NamedTuple):
    """What became of one fault.

    verdict: for people. is_wrong: whether it is not what the list says of it.
    is_tried: whether its tests ran; for lack of data they are skipped.
    """

    fault: Fault
    verdict: str
    is_wrong: bool
    is_tried: bool = True

    @property
    def line(self) -> str:
        """One line for the terminal."""
        mark = "  !" if self.is_wrong else "   "
        return f"{mark} {self.fault.file}: {self.fault.name}: {self.verdict}"


def result_of(outcome: Outcome) -> Result:
    """The verdict on a fault from how its tests ended.

    Tests that cannot be collected judge nothing: such a fault is an error of the list.
    """
    fault = outcome.job.fault
    if fault is None:
        raise ValueError("The outcome of a job without a fault has no verdict.")
    felt = outcome.status in (1, CRASHED, TOO_LONG)
    if not felt and outcome.status != 0:
        ending = " ".join(outcome.log.split())[-300:]
        return Result(fault, f"no test judged it (status {outcome.status}): {ending}", True)
    if not felt and re.search(r"^\d+ skipped|, \d+ skipped", outcome.log, re.MULTILINE):
        return Result(fault, "not tried: its tests are skipped here", False, is_tried=False)
    if fault.equivalent:
        verdict = "felt, so it is not equivalent" if felt else f"equivalent: {fault.equivalent}"
        return Result(fault, verdict, felt)
    return Result(fault, f"felt by {_felt_by(outcome)}" if felt else "SURVIVES", not felt)


def _felt_by(outcome: Outcome) -> str:
    failed = re.search(r"^(?:FAILED|ERROR) \S*?::(\w+)", outcome.log, re.MULTILINE)
    name = failed[1] if failed else "its tests"
    return name if outcome.status == 1 else f"{name} ({outcome.status})"


def as_markdown(results: Sequence[Result], facts: Mapping[str, str]) -> str:
    """The page docs/results/mutants.md."""
    survivors = [result for result in results if result.is_wrong]
    equivalent = [result for result in results if result.fault.equivalent]
    lines = [
        "# Small faults, one at a time",
        "",
        "Made by `make mutants`; the list is `tests/mutants/*.toml`. Each fault is one edit of one",
        "line, put into a copy of the tree; then the tests that should feel it run.",
        "",
        f"Commit {facts['commit']}: {len(results)} faults in {facts['minutes']} minutes, "
        f"{len(survivors)} survive, {len(equivalent)} change nothing (the reason is in the table).",
    ]
    for area in dict.fromkeys(result.fault.area for result in results):
        rows = [
            f"| `{r.fault.file}` | {r.fault.name} | {r.verdict.removeprefix('felt by ')} |"
            for r in sorted(results, key=lambda r: r.fault.file)
            if r.fault.area == area
        ]
        title = area.replace("_", " ").capitalize()
        lines += ["", f"## {title}", "", "| file | fault | felt by |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"
