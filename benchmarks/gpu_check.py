"""The meta-step on this machine's GPU: does it compile, how fast is it, are its products exact?

  bash benchmarks/gpu_check.sh        an environment of its own, then this program
  python -m benchmarks.gpu_check --out=docs/results/gpu.md

Each row is a process of its own, with random numbers of the shapes of the data sets: seconds until
the first meta-step has run (compilation included), milliseconds of one (the best of three spans of
a second), the GPU's peak memory, and the largest difference of a Hessian product from the CPU's,
relative to its norm: with device.matmul_precision "float32" (the default) and "default", which
lets the GPU shorten factors to TF32. Without a GPU the CPU is measured, and the page says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import settings
from benchmarks.commit import present_commit

# name -> config file, argument, changed keys
ROWS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sinusoid, sigma-iMAML": ("sinusoid", "sigma_imaml", {}),
    "Omniglot few-shot, sigma-iMAML": ("omniglot_few_shot", "5w1s_sigma_imaml", {}),
    "Omniglot few-shot, sigma-MAML": ("omniglot_few_shot", "5w1s_sigma_maml", {}),
    "alphabets, sigma-iMAML": ("omniglot_alphabets", "small_a10_k10_sigma_imaml", {}),
    "voices of 16 channels, sigma-Reptile": ("speech", "quick_sigma_reptile", {}),
    "voices of 128 channels, sigma-Reptile": ("speech", "sigma_reptile", {"adapt.steps": 10}),
}
PRECISIONS = ("float32", "default")
SECONDS = 1.0


def config_of(name: str, precision: str) -> dict[str, Any]:
    """The config of a row, without warm start."""
    file, argument, changes = ROWS[name]
    config = settings.config_of(file, argument)
    config.update_from_flattened_dict(changes)
    config.warm_start.steps = 0
    config.device.matmul_precision = precision
    return config.to_dict()


def measure(name: str, precision: str) -> dict[str, float]:
    """A row, in this process."""
    import tensorflow as tf  # Only in the process of a row.

    from benchmarks.tpu_proof.stand_ins import stand_ins
    from meta_shrink import build
    from meta_shrink.experiments.train import set_up

    with stand_ins():
        experiment = build(config_of(name, precision))
    gpu = bool(tf.config.list_physical_devices("GPU"))
    training, started = set_up(experiment, tf.distribute.get_strategy()), time.monotonic()
    training.run(1)
    found = {"compile": time.monotonic() - started}
    found["ms"] = 1000 * min(seconds(training) for _ in range(3))
    found["mib"] = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20 if gpu else 0.0
    return found | {"error": product_error(experiment), "gpu": gpu}


def seconds(training: Any) -> float:
    """Of the clock, a meta-step, over about SECONDS of them."""
    count, started = 0, time.monotonic()
    while not count or time.monotonic() - started < SECONDS:
        training.run(1)
        training.state.step.numpy()  # Until the device has done it.
        count += 1
    return (time.monotonic() - started) / count


def product_error(experiment: Any) -> float:
    """Largest difference of a Hessian product here from the CPU's, relative to its norm."""
    import tensorflow as tf  # Only in the process of a row.

    from meta_shrink.meta_gradients.imaml import hessian_vector_product
    from meta_shrink.rng import normal, root_key

    theta, key = experiment.initial.phi, root_key(0, "probe")
    vector = [normal(key, str(i), x.shape) for i, x in enumerate(theta)]

    def product(device: str) -> Any:
        with tf.device(device):
            batch = experiment.source.heldout(tf.constant(0)).val
            return hessian_vector_product(experiment.nll, theta, batch, native=True)(vector)

    here = product("GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0")
    there = product("CPU:0")
    norm = tf.linalg.global_norm(there)
    differences = [tf.reduce_max(tf.abs(a - b)) for a, b in zip(here, there, strict=True)]
    return float(tf.reduce_max(tf.stack(differences)) / norm)


def run(name: str, precision: str, limit: float) -> dict[str, Any]:
    """What a process of its own finds; {"failed": why} for one that does not end well."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--row", name, precision]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"not within {limit:.0f} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:200]}
    return json.loads(done.stdout.splitlines()[-1])


def table(found: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    """Markdown."""
    on = "the GPU" if any(row.get("gpu") for row in found.values()) else "the CPU: no GPU was found"
    lines = [
        f"`python -m benchmarks.gpu_check` at {present_commit()}, on {on}.",
        "",
        "| | products | first meta-step, s | ms a meta-step | peak, MiB | Hessian product |",
        "|---|---|---|---|---|---|",
    ]
    for (name, precision), row in found.items():
        cells = [name, precision]
        if "failed" in row:
            cells += [f"failed: {row['failed']}", "", "", ""]
        else:
            cells += [f"{row['compile']:.1f}", f"{row['ms']:.3g}", f"{row['mib']:.0f}"]
            cells += [f"{row['error']:.1e}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure each row, print and write the table; exit code 1 where a row failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose name has this text")
    parser.add_argument("--limit", type=float, default=120, help="seconds of a row")
    parser.add_argument("--out", default="", help="Markdown file to write")
    parser.add_argument("--row", nargs=2, help="what the process of a row is started with")
    given = parser.parse_args()
    if given.row:
        print(json.dumps(measure(*given.row)))
        return
    found = {}
    for name in (name for name in ROWS if given.only in name):
        for precision in PRECISIONS:
            found[name, precision] = run(name, precision, given.limit)
            print(f"{name}, {precision}: {found[name, precision]}", flush=True)
    print("\n".join(table(found)))
    if given.out:
        Path(given.out).write_text("\n".join([*table(found), ""]), encoding="utf-8")
    sys.exit(any("failed" in row for row in found.values()))


if __name__ == "__main__":
    main()
