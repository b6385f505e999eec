"""Speed of sigma-Reptile on the sinusoid: ours (XLA on CPU) beside eager PyTorch and JAX.

    python -m benchmarks.sinusoid [--rounds=5] [--seconds=2]

Prints one table: meta-steps per second (5 tasks x 100 steps x 10 points, sampling and
meta-optimizer included) and their ratios to the best PyTorch and the best JAX row. The rows take
turns within each round, so that a busy machine slows all of them; the figures are medians over
rounds. A row whose module or framework is not installed (requirements/bench.in) is left out and
named. Time: rounds x seconds x rows, plus about ten seconds of compilation per process.
"""

import argparse
import importlib
import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Contender(NamedTuple):
    """One row: `build(**options)` of `module` returns a step of `meta_steps` meta-steps."""

    label: str
    family: str
    module: str
    options: dict[str, int]
    meta_steps: int


CONTENDERS = (
    # Ours: same `build(...) -> step()` as the peers, in benchmarks/ours_sinusoid.py.
    Contender("meta_shrink", "ours", "benchmarks.ours_sinusoid", {}, 1),
    Contender(
        "meta_shrink, 100 meta-steps per dispatch",
        "ours",
        "benchmarks.ours_sinusoid",
        {"meta_steps_per_call": 100},
        100,
    ),
    Contender("JAX", "jax", "benchmarks.peers.sinusoid_jax", {}, 1),
    Contender(
        "JAX, 100 meta-steps per dispatch",
        "jax",
        "benchmarks.peers.sinusoid_jax",
        {"meta_steps_per_call": 100},
        100,
    ),
    Contender(
        "PyTorch eager, 1 thread", "torch", "benchmarks.peers.sinusoid_torch", {"num_threads": 1}, 1
    ),
    Contender(
        "PyTorch eager, 2 threads",
        "torch",
        "benchmarks.peers.sinusoid_torch",
        {"num_threads": 2},
        1,
    ),
)


def main():
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of every row")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one turn")
    arguments = parser.parse_args()
    steps, missing = build_all(CONTENDERS)
    for label, reason in missing.items():
        print(f"left out: {label} ({reason})")
    if steps:
        before = os.getloadavg()[0]
        print(table(measure(steps, arguments.rounds, arguments.seconds)))
        cores = len(os.sched_getaffinity(0))
        print(f"load average {before:.2f} before, {os.getloadavg()[0]:.2f} after; {cores} core(s)")


def build_all(contenders) -> tuple[list[tuple[Contender, Callable]], dict[str, str]]:
    """Warmed-up steps of the rows that can be imported, and why the others cannot, by label."""
    steps, missing = [], {}
    for contender in contenders:
        try:
            module = importlib.import_module(contender.module)
        except ModuleNotFoundError as error:
            missing[contender.label] = str(error)
            continue
        step = module.build(**contender.options)
        step()
        steps.append((contender, step))
    return steps, missing


def measure(steps, rounds, seconds) -> list[tuple[Contender, list[float]]]:
    """Meta-steps per second of every row in every round, the rows taking turns."""
    rates = [(contender, []) for contender, _ in steps]
    for _ in range(rounds):
        for (contender, step), (_, own) in zip(steps, rates, strict=True):
            own.append(meta_steps_per_second(step, contender.meta_steps, seconds))
    return rates


def meta_steps_per_second(step, meta_steps, seconds):
    """Rate over at least `seconds`; raises FloatingPointError if log sigma^2 is not finite."""
    calls, elapsed, begin = 0, 0.0, time.perf_counter()
    log_sigma2 = np.zeros(0)
    while elapsed < seconds:
        log_sigma2 = step()
        calls, elapsed = calls + 1, time.perf_counter() - begin
    if not np.all(np.isfinite(log_sigma2)):
        raise FloatingPointError(f"log sigma^2 is {log_sigma2}: the timing would be meaningless")
    return calls * meta_steps / elapsed


def table(rates) -> str:
    """Medians, spreads and ratios as text; a ratio is the median of the rounds' own ratios."""
    lines = [
        f"{'sigma-Reptile, 5 tasks x 100 steps x 10 points':46}"
        f"{'meta-steps/s':>14}{'min - max':>18}{'/ PyTorch':>11}{'/ JAX':>8}"
    ]
    for contender, own in rates:
        spread = f"{min(own):.4g} - {max(own):.4g}"
        lines.append(
            f"{contender.label:46}{statistics.median(own):14.4g}{spread:>18}"
            f"{_ratio(own, rates, 'torch'):>11}{_ratio(own, rates, 'jax'):>8}"
        )
    return "\n".join(lines)


def _ratio(own, rates, family):
    members = [values for contender, values in rates if contender.family == family]
    if not members:
        return "-"
    best = max(members, key=statistics.median)
    return f"{statistics.median(a / b for a, b in zip(own, best, strict=True)):.2f}"


if __name__ == "__main__":
    main()
