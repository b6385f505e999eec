"""Put small faults into the code, one at a time, and see whether the tests feel them.

    python -m tests.mutants                      all of them
    python -m tests.mutants --changed --minutes=5    those that touch what the last commits changed

The exit status is 1 if a fault survives, 2 if the list does not fit the code.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.faults import Fault, ListError, check, read_faults
from tests.mutants.processes import Job, Outcome, copy_tree, run_jobs, warm_up
from tests.mutants.report import Result, as_markdown, result_of

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT_S = 300.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; its exit status."""
    given = _parser().parse_args(arguments)
    # So that a stop leaves no process and no copy behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started, commit = time.monotonic(), _git("rev-parse", "--short", "HEAD")
    try:
        faults = read_faults()
        check(faults, ROOT)
        chosen = _chosen(faults, given)
        deadline = started + 60 * given.minutes
        results = _results(chosen, given.jobs, deadline, trust_tests=given.trust_tests)
    except ListError as error:
        print(f"The list of faults does not fit:\n{error}", file=sys.stderr)
        return 2
    minutes = (time.monotonic() - started) / 60
    wrong = [result for result in results if result.is_wrong]
    skipped = sum(not result.is_tried for result in results)
    print(
        f"{len(results)} faults in {minutes:.1f} min: {len(wrong)} survive or are not what the "
        f"list says; {len(chosen) - len(results)} of {len(chosen)} were left out for want of time, "
        f"{skipped} as their tests are skipped here."
    )
    if given.report:
        facts = {"commit": commit, "minutes": f"{minutes:.1f}"}
        Path(given.report).write_text(as_markdown(results, facts), encoding="utf-8")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--changed", action="store_true", help="only faults in changed files")
    parser.add_argument("--since", default="", help="the commit before the change")
    parser.add_argument("--only", default="", help="only faults whose name or file has this REGEX")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start none later")
    parser.add_argument("--trust_tests", action="store_true", help="they pass without a fault")
    parser.add_argument("--jobs", type=int, default=2, help="test runs at the same time")
    parser.add_argument("--report", default="", help="write a Markdown table to this file")
    return parser


def _chosen(faults: list[Fault], given: argparse.Namespace) -> list[Fault]:
    """The faults asked for; in an order that differs from commit to commit if time is bounded."""
    chosen = [f for f in faults if re.search(given.only, f"{f.area} {f.name} {f.file}")]
    if given.changed:
        changed = _changed_files(given.since)
        chosen = [f for f in chosen if changed is None or _touches(f, changed)]
    if given.minutes < float("inf"):
        random.Random(_git("rev-parse", "HEAD")).shuffle(chosen)
    return chosen


def _touches(fault: Fault, changed: set[str]) -> bool:
    """Whether the code of a fault, one of its tests or its list has changed."""
    tests = {test.partition("::")[0] for test in fault.tests}
    return bool(changed & {fault.file, f"tests/mutants/{fault.area}.toml", *tests})


def _changed_files(since: str) -> set[str] | None:
    """Files that differ from the commit before the change; None where git knows none."""
    base = since or _git("merge-base", "HEAD", "origin/main")
    if not base or base == _git("rev-parse", "HEAD"):
        base = since or _git("rev-parse", "--verify", "HEAD~1")
    return set(_git("diff", "--name-only", base).split("\n")) if base else None


def _git(*arguments: str) -> str:
    """What git says; nothing where it fails."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _results(faults: list[Fault], jobs: int, deadline: float, *, trust_tests: bool) -> list[Result]:
    """Run the tests without a fault, unless they are known to pass, then with each."""
    if not faults:
        return []
    warm_up(ROOT)
    with tempfile.TemporaryDirectory(prefix="mutants_") as folder:
        names = ["original", *(f"copy_{number}" for number in range(jobs))]
        _, *copies = [copy_tree(ROOT, Path(folder).resolve() / name) for name in names]
        if not trust_tests:
            _refuse_failures(list(run_jobs(_without_fault(faults), copies, limit_s=LIMIT_S)))
        results = []
        for outcome in run_jobs(
            [Job(fault.tests, fault) for fault in faults],
            copies,
            limit_s=LIMIT_S,
            may_start=lambda: time.monotonic() < deadline,
        ):
            results.append(result_of(outcome))
            print(results[-1].line, flush=True)
        return results


def _without_fault(faults: list[Fault]) -> list[Job]:
    """The same tests, file by file."""
    files: dict[str, set[str]] = {}
    for test in (test for fault in faults for test in fault.tests):
        files.setdefault(test.partition("::")[0], set()).add(test)
    return [Job(tuple(sorted(tests))) for tests in files.values()]


def _refuse_failures(outcomes: list[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.status != 0]
    if failed:
        logs = "\n".join(f"{', '.join(o.job.tests)}:\n{o.log[-2000:]}" for o in failed)
        raise ListError(f"tests fail without any fault:\n{logs}")


if __name__ == "__main__":
    sys.exit(main())
