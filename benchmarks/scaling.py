"""How a meta-step grows: with tasks, adaptation steps, width, replicas and workers; time, memory.

  python -m benchmarks.scaling --state=scaling.jsonl --out=docs/results/scaling

One thing at a time changes, from the sinusoid's config of sigma-iMAML (5 tasks, 100 steps, layers
of 40; XLA, one thread). Each row is a process of its own, which compiles, then times meta-steps:
processor milliseconds of one (the best of three spans of a second), and the peak memory of the
process over one that has only built the same experiment. Workers are processes of this machine that
meet over TF_CONFIG: their milliseconds are added up, for spans of a number of meta-steps that all
know, and the memory is the largest of theirs. The slope is that of a line through the logarithms of
a curve: 1 is proportional, 0 flat. The same command goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator

from benchmarks import settings
from benchmarks.free_ports import free_ports

AXES = ("sequential", "parallel", "vectorized")
TASKS, STEPS, WIDTHS = (1, 2, 4, 8, 16), (10, 100, 1_000, 10_000), (40, 80, 160, 320)
MAML_STEPS, REPLICAS, WORKERS = (10, 100, 1_000), (1, 2, 4), (1, 2, 4)
SPAN = 1.0  # seconds
SPAN_OF_WORKERS = 100  # meta-steps: a clock of its own would let a worker wait for the others.


class Row(NamedTuple):
    """A meta-step: what its curve is called, what changes, and the config that it is of."""

    curve: str
    by: str
    value: int
    algorithm: str = "sigma_imaml"
    tasks: int = 5
    steps: int = 100
    width: int = 40
    axis: str = "vectorized"
    replicas: int = 1
    workers: int = 1


def rows() -> list[Row]:
    """Of all curves, the quick ones first."""
    found = [Row(axis, "tasks", n, tasks=n, axis=axis) for axis in AXES for n in TASKS]
    found += [Row("sigma-iMAML", "adaptation steps", n, steps=n) for n in STEPS]
    found += [
        Row("sigma-MAML", "adaptation steps", n, algorithm="sigma_maml", steps=n, axis="sequential")
        for n in MAML_STEPS
    ]
    found += [
        Row("sigma-Reptile", "adaptation steps", n, algorithm="sigma_reptile", steps=n)
        for n in STEPS
    ]
    found += [Row("sigma-iMAML", "width", n, width=n) for n in WIDTHS]
    found += [Row("4 tasks", "replicas", n, tasks=4, replicas=n) for n in REPLICAS]
    found += [Row("4 tasks", "workers", n, tasks=4, workers=n) for n in WORKERS]
    return found


def measure(row: Row) -> dict[str, float]:
    """Milliseconds of processor a meta-step, and MiB over building, in this process."""
    import tensorflow as tf  # Only in the process of a row.

    from meta_shrink.experiments import build as experiment
    from meta_shrink.experiments.train import set_up
    from meta_shrink.training.distribution import make_strategy, set_cpu_threads

    set_cpu_threads(cpu_threads=1)
    config = settings.sinusoid(row.algorithm)
    config.adapt.steps, config.train.chunk_steps = row.steps, 10**9
    config.train.meta_batch_size, config.train.task_axis = row.tasks, row.axis
    config.train.jit = "on"
    config.model.hidden = [row.width] * len(config.model.hidden)
    strategy = make_strategy("multi_worker" if row.workers > 1 else "one")
    if row.replicas > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * row.replicas
        tf.config.set_logical_device_configuration(cpu, logical)
        strategy = tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(row.replicas)])
    training = set_up(experiment.build(config.to_dict()), strategy)
    built = peak_mib()
    training.run(1)
    training.run(1)
    spans = [seconds(training.run, SPAN_OF_WORKERS if row.workers > 1 else 0) for _ in range(3)]
    return {"ms": 1000 * min(spans), "mib": peak_mib() - built}


def seconds(run: Any, steps: int) -> float:
    """Of the processor, a meta-step, over so many of them; over about SPAN seconds where 0."""
    count, started = 0, time.process_time()
    while count < steps or (not steps and (not count or time.process_time() - started < SPAN)):
        run(1)
        count += 1
    return (time.process_time() - started) / count


def measured_apart(row: Row) -> dict[str, float]:
    """The row in processes of its own: milliseconds of all together, MiB of the largest."""
    hosts = [f"127.0.0.1:{port}" for port in free_ports(row.workers)]
    command = [sys.executable, "-m", "benchmarks.scaling", "--row", json.dumps(row._asdict())]
    started = []
    for index in range(row.workers):
        place = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        own = {"TF_CONFIG": json.dumps(place)} if row.workers > 1 else {}
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | own)
        )
    printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"{row} failed; what its processes said is above.")
    found = [json.loads(text.splitlines()[-1]) for text in printed]
    return {"ms": sum(one["ms"] for one in found), "mib": max(one["mib"] for one in found)}


def peak_mib() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def slope(values: list[float], by: list[float]) -> float:
    """Of the least-squares line through the logarithms."""
    return float(np.polyfit(np.log(by), np.log(values), 1)[0])


def read(state: Path) -> dict[Row, dict[str, float]]:
    """What was measured."""
    lines = state.read_text("utf-8").splitlines() if state.exists() else []
    return {Row(**line["row"]): line["found"] for line in map(json.loads, lines)}


def curves(found: dict[Row, dict[str, float]]) -> dict[tuple[str, str], list[Row]]:
    """{(what changes, curve): its rows}."""
    by_curve: dict[tuple[str, str], list[Row]] = {}
    for row in found:
        by_curve.setdefault((row.by, row.curve), []).append(row)
    return {key: sorted(own, key=lambda row: row.value) for key, own in by_curve.items()}


def table(found: dict[Row, dict[str, float]]) -> list[str]:
    """Markdown: a line for each curve."""
    lines = ["| by | | | ms a meta-step | slope | MiB over building |", "|---|---|---|---|---|---|"]
    for (by, curve), own in curves(found).items():
        values = [float(row.value) for row in own]
        times = [found[row]["ms"] for row in own]
        cells = [
            by,
            curve,
            ", ".join(f"{row.value:,}" for row in own),
            ", ".join(f"{ms:.3g}" for ms in times),
            f"{slope(times, values):.2f}" if len(own) > 1 else "",
            ", ".join(f"{found[row]['mib']:.0f}" for row in own),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def draw(found: dict[Row, dict[str, float]], path: Path) -> None:
    """Milliseconds against what changes, a panel each; a dotted line of slope 1."""
    matplotlib.use("Agg")
    kinds = list(dict.fromkeys(by for by, _ in curves(found)))
    rows, columns = -(-len(kinds) // 3), min(len(kinds), 3)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4 * columns, 3.6 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(kinds) :]:
        axis.remove()
    for by, axis in zip(kinds, axes.flat, strict=False):
        ticks: set[int] = set()
        for (kind, curve), own in curves(found).items():
            if kind == by:
                values, times = [r.value for r in own], [found[r]["ms"] for r in own]
                axis.plot(values, times, marker="o", label=curve)
                axis.plot(values, [times[0] * v / values[0] for v in values], "k:", lw=0.6)
                ticks |= set(values)
        axis.set(xscale="log", yscale="log", xlabel=by, ylabel="processor ms a meta-step")
        axis.set_xticks(sorted(ticks), [f"{tick:,}" for tick in sorted(ticks)])
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure what is missing, then write picture and table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--state", type=Path, help="JSONL file of what was measured")
    parser.add_argument("--out", type=Path, help="folder of picture and table; else none")
    parser.add_argument("--row", help="what the process of a row is started with")
    given = parser.parse_args()
    if given.row:
        print(json.dumps(measure(Row(**json.loads(given.row)))))
        return
    if not given.state:
        parser.error("--state is missing: name a file for what is measured.")
    for row in rows():
        if row in read(given.state):
            continue
        line = {"row": row._asdict(), "found": measured_apart(row)}
        with given.state.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{row.curve}, {row.value:,} {row.by}: {line['found']}", flush=True)
    found = read(given.state)
    print("\n".join(table(found)))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "scaling.md").write_text("\n".join([*table(found), ""]), encoding="utf-8")
        draw(found, given.out / "scaling.png")


if __name__ == "__main__":
    main()
