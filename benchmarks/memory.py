"""Peak memory of a meta-step against the number of adaptation steps: sigma-iMAML, sigma-MAML.

    python -m benchmarks.memory

Every figure is of fresh processes with the algorithm's sinusoid config (5 tasks, XLA, one thread)
that run two meta-steps: their peak resident memory with compilation, its ratio to the first row
of the algorithm, and its growth over a process that only builds experiment and variables; and what
is resident at the end, once the compiler's memory is given back. Medians over processes (glibc
only); time: about 10 seconds a process, 10 processes a repeat.
"""

import argparse
import ctypes
import resource
import statistics
import subprocess
import sys

import tensorflow as tf

from benchmarks import settings
from meta_shrink.experiments import build as experiment
from meta_shrink.experiments.train import set_up
from meta_shrink.training.distribution import set_cpu_threads

ROWS = (
    # algorithm, adaptation steps, train.chunk_steps
    ("sigma_imaml", 10, 10_000),
    ("sigma_imaml", 100, 10_000),
    ("sigma_imaml", 1_000, 10_000),
    ("sigma_imaml", 10_000, 10_000),
    ("sigma_imaml", 10_000, 1_000),
    ("sigma_maml", 10, 10_000),
    ("sigma_maml", 100, 10_000),
    ("sigma_maml", 1_000, 10_000),
)
META_STEPS = 2


def main():
    """Measure every row and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="processes per figure; the median")
    # What the processes of a row are started with.
    parser.add_argument("--row", nargs=4, metavar=("ALGORITHM", "STEPS", "CHUNK", "META_STEPS"))
    arguments = parser.parse_args()
    if arguments.row:
        algorithm, *numbers = arguments.row
        print(*memory_mib(algorithm, *(int(number) for number in numbers)))
    else:
        print_table(arguments.repeats)


def print_table(repeats):
    """Measure and print row by row; columns as in the module's docstring."""
    columns = (
        f"{'peak, MiB':>10}{'/ first':>9}{'over building':>15}{'at the end':>12}{'/ first':>9}"
    )
    print(f"{'two meta-steps of':46}{columns}")
    firsts = {}
    for algorithm, steps, chunk in ROWS:
        peak, end = measured(algorithm, steps, chunk, META_STEPS, repeats)
        if algorithm not in firsts:
            built, _ = measured(algorithm, steps, chunk, 0, repeats)
            firsts[algorithm] = peak, built, end
        first_peak, built, first_end = firsts[algorithm]
        pieces = f" in pieces of {chunk:,}" if chunk < steps else ""
        label = f"{algorithm}, {steps:,} steps{pieces}"
        print(
            f"{label:46}{peak:10.0f}{peak / first_peak:9.3f}{peak - built:15.0f}"
            f"{end:12.0f}{end / first_end:9.3f}",
            flush=True,
        )


def measured(algorithm, steps, chunk, meta_steps, repeats) -> list[float]:
    """Medians over fresh processes of memory_mib."""
    row = [str(value) for value in (algorithm, steps, chunk, meta_steps)]
    command = [sys.executable, "-m", "benchmarks.memory", "--row", *row]
    runs = [
        subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(repeats)
    ]
    figures = ([float(word) for word in run.stdout.split()[-2:]] for run in runs)
    return [statistics.median(values) for values in zip(*figures, strict=True)]


def memory_mib(algorithm, steps, chunk, meta_steps) -> tuple[float, float]:
    """Resident memory of this process over building and `meta_steps` meta-steps: peak, at the end.

    The end is after the allocator has given back what nobody uses.
    """
    config = settings.sinusoid(algorithm)
    config.adapt.steps = steps
    config.train.chunk_steps = chunk
    set_cpu_threads(cpu_threads=1)
    training = set_up(experiment.build(config.to_dict()), tf.distribute.get_strategy())
    for _ in range(meta_steps):
        training.run(1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/statm", encoding="ascii") as statm:
        pages = int(statm.read().split()[1])
    return peak, pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
