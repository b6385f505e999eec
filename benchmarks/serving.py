"""Serving many adapters: speed, exactness, loads, hot swap, memory, beside two usual ways.

    python -m benchmarks.serving --backbone=backbones/omniglot [--only=S1,S4] [--rows=20000]

Needs a backbone alone: adapters are its default one with noise, written to --adapters (a temporary
folder if it is not given; one that has adapters already is used and added to). Rows go through the
batcher and the bank from --threads threads with --depth rows in flight each. Ratios are medians
over rounds in which the cases take turns, so that a busy machine slows all of them. The figures are
those of the requirements: S1 throughput by resident adapters, S2 mixed batches against rows one by
one, S3 verified cold loads, S4 hot swap under load, S5 working sets beyond what is resident, S6
memory, S9 a row with an unknown adapter. Peers, in the same run: one SavedModel per task, and
adapters assigned to variables. Prints a Markdown table. With --speak the rows are pieces of 0.2 s
that a backbone of voices speaks, as its server does; without peers.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator

import tensorflow as tf
from absl import app, flags

from benchmarks import serving_figures as figures
from benchmarks import serving_speed as speed
from benchmarks.serving_load import Clients
from benchmarks.serving_setup import Line, Setup, set_up
from benchmarks.serving_voices import speaking
from meta_shrink.training.distribution import set_cpu_threads

BACKBONE = flags.DEFINE_string("backbone", None, "Folder of export.backbone.", required=True)
ADAPTERS = flags.DEFINE_string("adapters", "", "Folder of the adapters; a temporary one if empty.")
ENCODING = flags.DEFINE_string("encoding", "f32", "Of new adapters: f32, f16, bf16, int8_delta.")
ONLY = flags.DEFINE_list("only", [], "Figures; all by default: S1, S2, S3, S4, S5, S6, S9.")
RESIDENT = flags.DEFINE_list("resident", ["1", "16", "64", "256", "1024"], "S1: adapters.")
CAPACITY = flags.DEFINE_integer("capacity", 64, "S5: adapters that are resident.", 1)
ROWS = flags.DEFINE_integer("rows", 4_000, "S1, S5: rows per case and round.", 8)
ROUNDS = flags.DEFINE_integer("rounds", 5, "S1, S5: rounds.", 1)
SWAP_ROWS = flags.DEFINE_integer("swap_rows", 100_000, "S4: rows.", 8)
SWAPS = flags.DEFINE_float("swaps_per_second", 100.0, "S4: swaps.", 0.1)
LOADS = flags.DEFINE_integer("loads", 500, "S3: cold loads.", 1)
CYCLES = flags.DEFINE_integer("cycles", 10_000, "S6: loads and evictions.", 20)
MODELS = flags.DEFINE_integer("models", 8, "Peer: SavedModels; 0: no peers in S1.", 0)
SPEAK = flags.DEFINE_bool("speak", False, "Rows are pieces of speech.")
THREADS = flags.DEFINE_integer("threads", 8, "Client threads.", 1)
DEPTH = flags.DEFINE_integer("depth", 4, "Rows in flight per client thread.", 1)
MAX_BATCH = flags.DEFINE_integer("max_batch", 16, "Of the batcher.", 1)
MAX_DELAY_MS = flags.DEFINE_float("max_delay_ms", 2.0, "Of the batcher.", 0.0)
MET = {True: "yes", False: "no", None: ""}
CPU_THREADS = flags.DEFINE_integer("cpu_threads", 0, "TensorFlow's threads; 0: one per core.", 0)


def main(argv):
    """Measure and print; see the module's docstring."""
    if argv[1:]:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; settings are flags.")
    set_cpu_threads(cpu_threads=CPU_THREADS.value)
    with tempfile.TemporaryDirectory() as temporary:
        directory = ADAPTERS.value or temporary
        setup = set_up(BACKBONE.value, directory, adapters_needed(), ENCODING.value)
        setup = speaking(setup) if SPEAK.value else setup
        print_head(setup)
        for line in measured(setup):
            cells = (line.figure, line.case, line.value, line.goal, MET[line.met])
            print(f"| {' | '.join(cells)} |", flush=True)


def adapters_needed() -> int:
    """Adapters for the chosen figures."""
    needed = {"S1": max(resident_counts()), "S5": 4 * CAPACITY.value}
    return max([MAX_BATCH.value, MODELS.value, *(needed.get(name, 64) for name in chosen())])


def resident_counts() -> list[int]:
    """Of S1, the smallest first."""
    return sorted(int(count) for count in RESIDENT.value)


def chosen() -> list[str]:
    """Figures to measure."""
    return ONLY.value or list(FIGURES)


def measured(setup: Setup) -> Iterator[Line]:
    """The lines of the chosen figures.

    Raises:
      app.UsageError: an unknown figure.
    """
    clients = Clients(THREADS.value, DEPTH.value, MAX_BATCH.value, MAX_DELAY_MS.value)
    for name in chosen():
        if name not in FIGURES:
            raise app.UsageError(f"--only has {name!r}; expected some of {', '.join(FIGURES)}.")
        for figure in FIGURES[name]:
            yield from figure(setup, clients)


def _rounds() -> dict[str, int]:
    return {"rows": ROWS.value, "rounds": ROUNDS.value}


def _resident(setup: Setup, clients: Clients) -> list[Line]:
    models = 0 if SPEAK.value else MODELS.value
    return speed.resident(setup, clients, resident_counts(), models=models, **_rounds())


def _one_for_all(setup: Setup, clients: Clients) -> list[Line]:
    # The server's voices are a call each, whoever speaks beside them.
    return [] if SPEAK.value else speed.one_for_all(setup, clients, rounds=ROUNDS.value)


def _hot_swap(setup: Setup, clients: Clients) -> list[Line]:
    options = {"rows": SWAP_ROWS.value, "swaps_per_second": SWAPS.value}
    return figures.hot_swap(setup, clients, **options)


def _torn_peers(setup: Setup, clients: Clients) -> list[Line]:
    return [] if SPEAK.value else figures.torn_peers(setup, clients, SWAP_ROWS.value // 20)


def _memory(setup: Setup, _: Clients) -> list[Line]:
    return figures.memory(setup, min(max(resident_counts()), len(setup.ids)), CYCLES.value)


FIGURES: dict[str, list[Callable[[Setup, Clients], list[Line]]]] = {
    "S1": [_resident, _one_for_all],
    "S2": [figures.exactness],
    "S3": [lambda setup, _: figures.cold_loads(setup, LOADS.value)],
    "S4": [_hot_swap, _torn_peers],
    "S5": [lambda setup, c: speed.working_sets(setup, c, CAPACITY.value, **_rounds())],
    "S6": [_memory],
    "S9": [figures.neighbours],
}


def print_head(setup: Setup) -> None:
    """What is measured, and where."""
    info = setup.backbone.info
    kilobytes = os.path.getsize(setup.path(setup.ids[0])) / 1e3
    print(
        f"{info.name}: {len(info.modules)} modules, {len(info.selected)} of them task-specific, "
        f"adapters of {kilobytes:,.1f} kB. TensorFlow {tf.__version__}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {THREADS.value} threads with {DEPTH.value} rows in flight, batches "
        f"of up to {MAX_BATCH.value} rows.\n"
    )
    print("| figure | case | value | goal | met |\n|---|---|---|---|---|")


if __name__ == "__main__":
    app.run(main)
