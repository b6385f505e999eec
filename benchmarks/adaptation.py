"""Speed of task adaptation: the 20-way Omniglot convnet, ours beside PyTorch and learn2learn.

    python -m benchmarks.adaptation [--rounds=5] [--tasks=4] [--only TEXT ...]

One task-step: one proximal step on a mini-batch of 20 images (benchmarks/peers/
adaptation_workload.py); one turn of a row: 4 tasks x 100 steps. Every row has a process, or two
that work at the same time, of its own; the rows take turns within each round, so that a busy
machine slows all of them. Figures are medians over rounds: task-steps per second, and per second
of processor time, which other programs on the machine hardly change. GFLOP/s and the rate of a
2048^3 matrix product (same process, same number type) are per second of processor time too. Ratios
are to the best float32 row of PyTorch and of learn2learn; `--clock=processor` takes them, of the
rows with one thread a process, from processor time: for a busy machine.

A row whose framework is not installed is left out and named: PyTorch is in requirements/bench.in;
learn2learn's own package does not build on Python 3.11, but its files algorithms/maml.py,
algorithms/base_learner.py and utils/__init__.py suffice, below a folder `learn2learn` on
PYTHONPATH, with an empty __init__.py where one is missing.
"""

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple

from benchmarks.peers import adaptation_workload as workload

NUM_STEPS = 100
MATMUL_SIZE = 2048
CLOCKS = ("wall", "processor")


class Kind(NamedTuple):
    """What a row computes: `build(tasks, steps, num_threads=, **options)` of a module."""

    family: str
    module: str
    options: dict[str, Any]


class Row(NamedTuple):
    """A kind of work on `threads` threads in each of `processes` processes."""

    label: str
    kind: Kind
    threads: int
    processes: int


class Turn(NamedTuple):
    """One turn: task-steps per second, the same and GFLOP/s of a product per processor second."""

    wall: float
    processor: float
    product: float


OURS, TORCH = "benchmarks.ours_adaptation", "benchmarks.peers.adaptation_torch"
LEARN2LEARN = "benchmarks.peers.adaptation_learn2learn"
LAST = {"channels_last": True}
KINDS = {
    "meta_shrink float32": Kind("ours", OURS, {"precision": "float32"}),
    "meta_shrink bfloat16": Kind("ours", OURS, {"precision": "bfloat16"}),
    "PyTorch": Kind("torch", TORCH, {}),
    "PyTorch channels_last": Kind("torch", TORCH, LAST),
    "PyTorch channels_last bfloat16": Kind("torch", TORCH, LAST | {"bfloat16": True}),
    "learn2learn": Kind("learn2learn", LEARN2LEARN, {}),
    "learn2learn channels_last": Kind("learn2learn", LEARN2LEARN, LAST),
}
ROWS = [
    Row(f"{name}, {where}", kind, threads, processes)
    for name, kind in KINDS.items()
    for where, threads, processes in (
        ("1 thread", 1, 1),
        ("2 threads", 2, 1),
        ("2 processes", 1, 2),
    )
]


def main():
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of every row")
    parser.add_argument("--tasks", type=int, default=4, help="tasks a turn; even")
    parser.add_argument("--only", nargs="*", default=[""], help="rows whose label has one of these")
    parser.add_argument("--clock", choices=CLOCKS, default=CLOCKS[0], help="of the ratios")
    # What the processes of a row are started with.
    parser.add_argument("--worker", type=int, metavar="ROW")
    arguments = parser.parse_args()
    if arguments.worker is not None:
        work(ROWS[arguments.worker], arguments.tasks)
        return
    chosen = [row for row in ROWS if any(text in row.label for text in arguments.only)]
    before = os.getloadavg()[0]
    print(table(measure(chosen, arguments.rounds, arguments.tasks), arguments.clock))
    cores = len(os.sched_getaffinity(0))
    print(f"load average {before:.2f} before, {os.getloadavg()[0]:.2f} after; {cores} core(s)")


def work(row: Row, tasks: int):
    """A row's process: for every line on stdin, one turn of `tasks` tasks; prints the Turn."""
    try:
        module = importlib.import_module(row.kind.module)
    except ModuleNotFoundError as error:
        print(f"left out: {error}", flush=True)
        return
    step = module.build(tasks, NUM_STEPS, num_threads=row.threads, **row.kind.options)
    product = module.matmul(MATMUL_SIZE, bfloat16="bfloat16" in row.label)
    product()
    step()
    print("ready", flush=True)
    for _ in sys.stdin:
        _, product_seconds = _seconds(product)
        wall, processor = _seconds(step)
        steps = tasks * NUM_STEPS
        print(steps / wall, steps / processor, 2e-9 * MATMUL_SIZE**3 / product_seconds, flush=True)


def _seconds(function) -> tuple[float, float]:
    """By the clock and of the processor."""
    clocks = time.perf_counter, time.process_time
    before = [clock() for clock in clocks]
    function()
    wall, processor = (clock() - start for clock, start in zip(clocks, before, strict=True))
    return wall, processor


def measure(rows, rounds, tasks) -> list[tuple[Row, list[Turn]]]:
    """The turns of every row that could be started; those of two processes summed."""
    started = [(row, processes) for row in rows if (processes := start(row, tasks))]
    results = [(row, []) for row, _ in started]
    for _ in range(rounds):
        for (_, processes), (_, turns) in zip(started, results, strict=True):
            for process in processes:
                print("go", file=process.stdin, flush=True)
            lines = [process.stdout.readline().split() for process in processes]
            turns.append(Turn(*(sum(map(float, column)) for column in zip(*lines, strict=True))))
    for _, processes in started:
        for process in processes:
            process.communicate()
    return results


def start(row: Row, tasks: int) -> list[Any]:
    """The row's processes, warmed up and waiting; none if its framework is missing."""
    command = [sys.executable, "-m", "benchmarks.adaptation", f"--worker={ROWS.index(row)}"]
    command.append(f"--tasks={tasks // row.processes}")
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    processes: list[Any] = [
        subprocess.Popen(command, env=environment, **pipes) for _ in range(row.processes)
    ]
    answers = [process.stdout.readline().strip() for process in processes]
    if set(answers) == {"ready"}:
        return processes
    print(f"{row.label}: {answers[0] or 'failed'}")
    for process in processes:
        process.communicate()
    return []


def table(results, clock) -> str:
    """Medians, spreads and ratios as text; a ratio is the median of the rounds' own ratios."""
    lines = [
        f"{'task-steps of 20 images':44}{'/ s':>7}{'min - max':>15}{'/ cpu s':>9}{'GFLOP/s':>9}"
        f"{'product':>9}{'share':>7}{'/ PyTorch':>11}{'/ learn2learn':>15}"
    ]
    for row, turns in results:
        wall = [turn.wall for turn in turns]
        gflops = [turn.processor * workload.step_flops() / 1e9 for turn in turns]
        products = [turn.product for turn in turns]
        lines.append(
            f"{row.label:44}{statistics.median(wall):7.1f}"
            f"{f'{min(wall):.1f} - {max(wall):.1f}':>15}"
            f"{statistics.median(turn.processor for turn in turns):9.1f}"
            f"{statistics.median(gflops):9.1f}{statistics.median(products):9.0f}"
            f"{_median_ratio(gflops, products):7.2f}"
            f"{_ratio(row, results, 'torch', clock):>11}"
            f"{_ratio(row, results, 'learn2learn', clock):>15}"
        )
    return "\n".join(lines)


def _ratio(row, results, family, clock):
    """Of a row's task-steps per second to those of the family's best float32 row."""
    rates = {
        other.label: [getattr(turn, clock) for turn in turns]
        for other, turns in results
        if clock == "wall" or other.threads == 1
    }
    rivals = [
        rates[other.label]
        for other, _ in results
        if other.label in rates and other.kind.family == family and "bfloat16" not in other.label
    ]
    if row.label not in rates or not rivals:
        return "-"
    return f"{_median_ratio(rates[row.label], max(rivals, key=statistics.median)):.2f}"


def _median_ratio(own, other):
    return statistics.median(a / b for a, b in zip(own, other, strict=True))


if __name__ == "__main__":
    main()
