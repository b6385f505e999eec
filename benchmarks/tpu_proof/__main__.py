"""The TPU proof: every algorithm and network, compiled by libtpu for TPUs that are not there.

    python -m benchmarks.tpu_proof [--only=REGEX] [--minutes=N] [--timeout=SECONDS] [--again]
        [--state=FILE] [--out=FILE.md] [--page]

`make tpu-proof` builds its environment and runs it. Rows are compiled one after another, small
ones first; what became of each (compiled, refused, a crash of the compiler, a time-out) is kept in
--state, and a row that is there is not compiled again: cut off, the same command goes on. --again
compiles those of other commits anew. Takes minutes a row, hours in all; --minutes stops before a
row that would begin later. --page writes the page of what is there and compiles nothing.
Exit code 1: a row was not compiled.
"""

import argparse
import re
import signal
import sys
import time
from pathlib import Path

from benchmarks.commit import present_commit
from benchmarks.tpu_proof.measure import State, measure
from benchmarks.tpu_proof.page import page
from benchmarks.tpu_proof.rows import all_rows


def main() -> None:
    """Compile what is missing, and write the page; see the module's docstring."""
    options = _options()
    rows = [row for row in all_rows() if re.search(options.only, row.name)]
    state, commit, began = State(options.state), present_commit(), time.monotonic()
    for row in [] if options.page else rows:
        found = state.load(row)
        if found and not (options.again and found.commit != commit):
            continue
        if time.monotonic() - began > 60 * options.minutes:
            break
        state.save(row, found := measure(row, commit, options.timeout))
        print(f"{row.name}: {found.outcome} {found.seconds} s", flush=True)
    every = {row: state.load(row) for row in all_rows()}
    if options.out:
        Path(options.out).write_text(page(every), "utf-8")
    found = [every[row] for row in rows]
    sys.exit(any(one is None or one.outcome != "compiled" for one in found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tpu_proof")
    parser.add_argument("--only", default="", help="rows whose names this regex finds; else all")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no row later")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds of a program")
    parser.add_argument("--again", action="store_true", help="rows of other commits too")
    parser.add_argument("--state", default="docs/results/tpu.jsonl", help="file of what was found")
    parser.add_argument("--out", default="", help="Markdown file to write; none if empty")
    parser.add_argument("--page", action="store_true", help="compile nothing")
    return parser.parse_args()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # A row's program ends with this one.
    main()
