"""Evaluations and runs made up for the tests of the report."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

PNG = b"\x89PNG\r\n\x1a\n"


def scheme(name, kind, modules, steps, end, start=3.2, spread=0.15):
    """A curve that falls from `start` to `end`, +- 15 %."""
    falling = end + (start - end) * np.exp(-np.array(steps) / (0.12 * steps[-1]))
    return {
        "name": name,
        "kind": kind,
        "modules": modules,
        "steps": steps,
        "mean": falling.tolist(),
        "ci95": (spread * np.abs(falling)).tolist(),
    }


def make_evaluation(names, special, groups, *, algorithm="sigma_reptile", steps=None, share=0.046):
    """An evaluation.json in which the modules of `special` have the large sigma^2."""
    steps = steps or [0, 1, 2, 5, 10, 20, 35, 60, 80, 100]
    rng = np.random.default_rng(0)
    learned = algorithm.startswith("sigma")
    drawn = {n: 10 ** rng.uniform(-1, 0.5) if n in special else 1e-5 for n in names}
    singles = [
        scheme(group, "single", parts, steps, 0.13 if set(parts) & set(special) else 2.4)
        for group, parts in groups.items()
    ]
    selected = [scheme("task-specific modules", "selected", special, steps, 0.13)]
    return {
        "experiment": f"sinusoid:{algorithm}",
        "algorithm": algorithm,
        "meta_step": 60000,
        "metric": {"name": "mean squared error", "lower_is_better": True},
        "num_tasks": 100,
        "train_adaptation_steps": 100,
        "modules": [
            {
                "name": name,
                "size": 40,
                "share": 1 / len(names),
                "bytes": 160,
                "sigma2": drawn[name] if learned else "inf",
                "task_specific": learned and name in special,
            }
            for name in names
        ],
        "selection": {
            "rule": "threshold" if learned else "none",
            "value": 0.001 if learned else 0,
            "modules": special if learned else [],
            "share": share,
            "bytes": 160 * len(special),
        },
        "schemes": [
            scheme("all modules", "all", names, steps, 0.12),
            *(selected if learned else []),
            *singles,
            scheme("nothing", "none", [], steps, 3.2),
        ],
        "environment": {"python": "3.11", "command": "python -m launch.evaluate", "seconds": 12.5},
    }


def small(**options) -> dict[str, Any]:
    names = ["w0", "b0", "w1", "b1", "w2", "b2"]
    groups = {f"layer_{i + 1}": [f"w{i}", f"b{i}"] for i in range(3)}
    return make_evaluation(names, ["w0", "b0"], groups, **options)


def large() -> dict[str, Any]:
    """WaveNet's 123 modules, of which 12 are task-specific, each adapted alone."""
    parts = ("dilated_conv", "condition", "residual", "skip")
    names = ["input_conv", "input_skip"] + [f"block_{b}/{p}" for b in range(30) for p in parts]
    names += ["output"]
    special = [f"block_{b}/dilated_conv" for b in range(10, 22)]
    steps = [0, 1, 10, 100, 1000, 10000]
    groups = {name: [name] for name in names}
    return make_evaluation(names, special, groups, steps=steps, share=0.16)


def metric_rows(evaluation):
    """Training that settles at the evaluation's sigma^2."""
    rows = []
    for step in range(0, 60001, 1000):
        done = 1 - math.exp(-step / 15000)
        row = {
            "step": step,
            "kind": "train",
            "nll_val": 3 - 2.8 * done,
            "nll_train": 2 - 1.9 * done,
        }
        for module in evaluation["modules"]:
            final = float(module["sigma2"])
            row[f"sigma2/{module['name']}"] = 0.1 * (final / 0.1) ** done if final < 9 else "inf"
        row |= {"cg/residual_norm": 1e-3, "tasks/nonfinite": 0}
        rows.append(row)
        if step % 10000 == 0:
            rows.append({"step": step, "kind": "eval", "metric": 3.2 - 3.07 * done})
    return rows


def with_extras(evaluation):
    """Adds what generated tasks have: parameter errors and example predictions."""
    steps = [0, 1, 3, 10, 30, 100, 300, 1000]
    x = np.linspace(-5, 5, 60)
    names = [f"theta_{i}" for i in range(1, 9)]
    mean = [[1.5 * math.exp(-s / 40) + 0.2 + 1e-4 * s * i for s in steps] for i in range(8)]
    examples = [
        {
            "x": x.tolist(),
            "truth": (a * np.sin(x)).tolist(),
            "train_x": [-4, -1, 0.5, 3],
            "train_y": [a * math.sin(v) for v in (-4, -1, 0.5, 3)],
            "predictions": {
                s["name"]: (a * 0.9 * np.sin(x + s["mean"][-1] / 3)).tolist()
                for s in evaluation["schemes"]
            },
        }
        for a in (1.0, 3.0, 4.0)
    ]
    error = {"names": names, "steps": steps, "mean": mean}
    return evaluation | {"parameter_error": error, "examples": examples}


def write_run(workdir: Path, evaluation, rows=()) -> Path:
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "evaluation.json").write_text(json.dumps(evaluation))
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (workdir / "config.json").write_text(json.dumps({"seed": 1, "meta": {"steps": 60000}}))
    return workdir


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
