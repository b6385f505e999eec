"""What a meta-step of the paper's experiments would cost on TPUs, by their compiler's cost model.

    python -m benchmarks.tpu_proof.costs [--only=REGEX] [--cpu_python=FILE] [--state=FILE]
        [--out=FILE.md] [--page]

Compiles the parts of a meta-step that are repeated (an adaptation step, its gradient alone, a
Hessian product) for a v5e and a v5p, alone, with several tasks as one batch, and with larger
mini-batches; with --cpu_python (a Python with an ordinary TensorFlow) times them on one thread of
this machine too. The page has the parts beside the chips' published peaks, and what whole
meta-steps would take, cost and wait for on v5e-8, v5e-64 and v5p-256. Rows are kept in --state and
not measured twice.
"""

import argparse
import re
import sys
from functools import partial
from pathlib import Path

from benchmarks.commit import present_commit
from benchmarks.tpu_proof.cost_rows import CPU, Part, all_parts
from benchmarks.tpu_proof.costs_page import page
from benchmarks.tpu_proof.measure import Found, State, measure

USUAL_EFFORT = "0"
STATE = "docs/results/tpu_costs.jsonl"


def main() -> None:
    """Measure what is missing, and write the page; see the module's docstring."""
    options = _options()
    state, commit = State(options.state), present_commit()
    for part in all_parts():
        wanted = re.search(options.only, part.name) and not options.page
        if not wanted or state.load(part) or (part.topology == CPU and not options.cpu_python):
            continue
        make = partial(programs, cpu_python=options.cpu_python)
        state.save(part, found := measure(part, commit, options.timeout, make))
        print(f"{part.name}: {found.outcome} {found.seconds} s", flush=True)
    if options.out:
        every: dict[Part, Found | None] = {part: state.load(part) for part in all_parts()}
        Path(options.out).write_text(page(every), "utf-8")


def programs(part: Part, module: str, *, cpu_python: str = "") -> dict[str, list[str]]:
    """The commands that measure a part, one after the other."""
    parts = f"{__package__}.parts"
    if part.topology == CPU:
        return {"time": [cpu_python, "-m", parts, part.name]}
    start, how = [sys.executable, "-m"], [part.topology, "1", USUAL_EFFORT]
    return {
        "lower": [*start, parts, part.name, module],
        "compile": [*start, f"{__package__}.compile", module, *how],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tpu_proof.costs")
    parser.add_argument("--only", default="", help="parts whose names this regex finds; else all")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds of a program")
    parser.add_argument("--cpu_python", default="", help="to time the parts here; none if empty")
    parser.add_argument("--state", default=STATE, help="file of what was found")
    parser.add_argument("--out", default="", help="Markdown file to write; none if empty")
    parser.add_argument("--page", action="store_true", help="measure nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
