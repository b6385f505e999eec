"""Run a declared set of methods x seeds, and write one table of them.

  meta-shrink compare --set=configs/comparisons/sinusoid.py --out=runs/compare_sinusoid

Each run is `train` and `evaluate` in OUT/runs/LABEL_seedS, with all that they print in
its run.log. The table is OUT/methods.md, methods.csv and methods.png. Run the same command again to
resume: what is done stays. Exit codes: 0 done, 1 some run failed, 4 one of them for its files or
the disk, 2 usage, 5 another process is at work there, 42 stopped and resumable. A set is a Python
file and is executed; configs/comparisons/sinusoid.py shows its keys.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from absl import flags
from ml_collections import config_flags

from meta_shrink.errors import (
    EXIT_OK,
    EXIT_PREEMPTED,
    Preempted,
    UsageError,
    first_names,
    unwritable,
)
from meta_shrink.programs import cli
from meta_shrink.programs.comparison.declared import Comparison, Run, read_set
from meta_shrink.programs.comparison.processes import run_jobs
from meta_shrink.programs.comparison.runs import (
    Board,
    failure,
    failures,
    job_of,
    lacks,
    on_other_data,
    workdir_of,
)
from meta_shrink.programs.places import local_only
from meta_shrink.reporting.methods import Compared
from meta_shrink.reporting.methods_table import write_methods
from meta_shrink.reporting.wording import listed
from meta_shrink.runs.locks import only_process_in
from meta_shrink.stopping import StopSignal

SET = config_flags.DEFINE_config_file("set", None, "File of the set; executes that Python file.")
flags.mark_flag_as_required("set")
OUT = flags.DEFINE_string("out", None, "Folder of all runs and the table. Default: runs/compare_*.")
local_only("out")
JOBS = flags.DEFINE_integer(
    "jobs", None, "Runs at once; 1 for one accelerator. Default: CPU cores.", lower_bound=1
)
ONLY = flags.DEFINE_string(
    "only", "", "Run only those whose name (LABEL_seedS) has this regular expression."
)
TABLE_ONLY = flags.DEFINE_bool("table_only", False, "Run nothing; the table of what is done.")


def main(argv: list[str]) -> None:
    """Compare; see the module's docstring."""
    cli.no_arguments(argv)
    comparison = read_set(SET.value, cli.IMPORTS.value)
    out = OUT.value or os.path.join("runs", f"compare_{comparison.name}")
    chosen = matching(comparison.runs, ONLY.value)
    codes = {}
    if not TABLE_ONLY.value:
        with comparison_folder(out), StopSignal() as stop:
            codes = run_all(comparison, chosen, out, stop)
    if TABLE_ONLY.value or not all(lacks(comparison.runs, out).values()):
        write_table(comparison, out)
    failed = [run for run in chosen if codes.get(run.name, 0) not in (EXIT_OK, EXIT_PREEMPTED)]
    for run in failed:
        print(failure(run, out, codes[run.name]), file=sys.stderr)
    if EXIT_PREEMPTED in codes.values():
        raise Preempted("Stopped; the same command goes on with the other runs.")
    if failed:
        raise failures([codes[run.name] for run in failed], len(chosen))


def matching(runs: Sequence[Run], pattern: str) -> list[Run]:
    """The runs whose name has the pattern.

    Raises:
      UsageError: none has it, or it is no regular expression.
    """
    try:
        found = [run for run in runs if re.search(pattern, run.name)]
    except re.error as error:
        raise UsageError(f"--only={pattern} is no regular expression: {error}.") from error
    if not found:
        names = ", ".join(run.name for run in runs)
        raise UsageError(f"--only={pattern} leaves no run of {names}.")
    return found


@contextmanager
def comparison_folder(out: str) -> Iterator[None]:
    """The folder of all runs, made if missing, for one such program at a time.

    Raises:
      UsageError: another one is at it, or the folder cannot be written.
    """
    try:
        os.makedirs(out, exist_ok=True)
        with only_process_in(out):
            yield
    except OSError as error:
        raise unwritable(out, error) from error


def run_all(
    comparison: Comparison, runs: Sequence[Run], out: str, stop: StopSignal
) -> dict[str, int]:
    """Run what is not done yet of some runs of the comparison; exit code by name."""
    what = lacks(comparison.runs, out)
    left = [run for run in runs if what[run.name]]
    if not left:
        if changed := on_other_data(runs, out):
            raise UsageError(
                f"{first_names([run.name for run in changed])} of {out} were made with other data "
                "than are there now, so the table would be of the former ones (--table_only shows "
                "it): give another --out, or remove these runs, and they are made again."
            )
        print(f"All {len(runs)} runs are done already.")
    board = Board(left, out, done=len(runs) - len(left))
    return run_jobs(
        [job_of(run, out) for run in left],
        at_once=JOBS.value or len(os.sched_getaffinity(0)),
        stop_requested=lambda: stop.requested,
        watch=board.watch,
    )


def write_table(comparison: Comparison, out: str) -> None:
    """Write the table of the runs that are done, print it, and say which are left out.

    Raises:
      UsageError: no run is done.
    """
    what = lacks(comparison.runs, out)
    for reason in dict.fromkeys(filter(None, what.values())):
        names = [name for name, told in what.items() if told == reason]
        print(f"Not in the table, {reason}: {listed(names)}.")
    methods = []
    for first, *others in comparison.methods():
        done = [workdir_of(run, out) for run in (first, *others) if not what[run.name]]
        methods.append(Compared(first.label, done, 1 + len(others), first.x, first.x_label))
    file = config_flags.get_config_filename(flags.FLAGS["set"])
    note = f"Made by `{sys.argv[0]} --set={file}`."
    cli.print_table(write_methods(out, comparison.name, methods, note))
    print(f"Table: {os.path.join(out, 'methods.md')}")
