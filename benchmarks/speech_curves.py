"""Bits per sample of held-out speakers while they adapt: who overfits, and which modules it takes.

  python -m benchmarks.speech_curves --sigma_reptile=runs/speech_sigma_reptile \
    --reptile=runs/speech_reptile --pretrained=runs/speech_pretrained --sea=runs/speech_sea \
    --share=0.25 --steps=1000 --state=curves.jsonl --out=docs/results/speech

The runs are of configs/speech.py; without that of the network of all voices (--sea), SEA-All and
SEA-Emb are left out. Each speaker adapts `--steps` times on `--share` of the training
utterances, by the same mini-batches whatever adapts, and is scored on all of its validation
utterances. One line of `--state` per speaker and curve: the same command goes on where it ended,
and one that has ended draws the picture and the table from all lines (other shares too).
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from meta_shrink import MetaParams, build
from meta_shrink.evaluation import recorded_steps
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.restore import restore
from meta_shrink.intervals import mean_and_ci95
from meta_shrink.prior import freeze_others
from meta_shrink.training.distribution import set_cpu_threads

RUNS = ("sigma_reptile", "reptile", "pretrained")
SELECTED, DRAWS = 12, 5  # modules, a tenth of 123; random choices of as many
REFERENCE = "sigma-Reptile"


def main() -> None:
    """Measure what is missing, then draw."""
    given = arguments()
    set_cpu_threads(cpu_threads=1)
    metas = {}
    for name in RUNS:
        own, metas[name], step = restore(getattr(given, name))
        print(f"{name}: {step} meta-steps", flush=True)
    measured = as_measured(own, given.share)
    parts = [(measured, curves_of(measured, metas))]
    if given.sea:
        own, meta, _ = restore(given.sea)
        measured = as_measured(own, given.share)
        parts.append((measured, sea_curves(measured, meta)))
    known = [name for _, curves in parts for name in curves]
    if unknown := set(given.curves or ()) - set(known):
        raise SystemExit(f"--curves: {sorted(unknown)} are none of {', '.join(known)}.")
    for measured, curves in parts:
        measure(measured, curves, given)
    if given.out:
        write(read(given.state), Path(given.out))


def arguments() -> argparse.Namespace:
    """Those of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in RUNS:
        parser.add_argument(f"--{name}", required=True, help=f"workdir of {name}")
    parser.add_argument("--sea", default="", help="workdir of the network of all voices; else none")
    parser.add_argument("--share", type=float, default=1.0, help="of the training utterances")
    parser.add_argument("--steps", type=int, default=1000, help="of adaptation")
    parser.add_argument("--points", type=int, default=14, help="of a curve")
    parser.add_argument(
        "--speakers", type=numbers, default=range(10), help="their numbers, with commas"
    )
    parser.add_argument("--curves", type=lambda text: text.split(","), help="names; else all")
    parser.add_argument("--state", required=True, help="JSONL file of what was measured")
    parser.add_argument("--out", default="", help="folder of picture and table; else none")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    """Of a list with commas."""
    return [int(part) for part in text.split(",")]


def as_measured(experiment: Experiment, share: float) -> Experiment:
    """The experiment with a share of the training utterances and all validation utterances."""
    config = dict(experiment.config)
    config["task"] = {**config["task"], "train_share": share, "validation_pieces": 0}
    config["train"] = {**config["train"], "jit": "on"}
    return build(config)


Curves = Mapping[str, Callable[[int], MetaParams]]


def sea_curves(experiment: Experiment, meta: MetaParams) -> Curves:
    """Of the network of all voices everything adapts (SEA-All), or the new voice's embedding."""
    embedding = freeze_others(free(meta), experiment.registry, ["speaker"])
    return {"SEA-All": lambda _: free(meta), "SEA-Emb": lambda _: embedding}


def free(meta: MetaParams) -> MetaParams:
    """Without a prior."""
    return meta._replace(log_sigma2=tf.fill(meta.log_sigma2.shape, np.float32(np.inf)))


def curves_of(experiment: Experiment, metas: Mapping[str, MetaParams]) -> Curves:
    """Name -> the meta-parameters with which a speaker of that number adapts.

    Controls of the prior: none, 10 and 100 times its variances, their geometric mean for all;
    of its modules: those of the largest variance, 12 at random, the first and the last 12.
    """
    registry, sigma = experiment.registry, metas["sigma_reptile"]
    names = list(registry.names)
    order = [names[m] for m in np.argsort(-sigma.log_sigma2.numpy(), kind="stable")]
    draws = [random.Random(draw).sample(names, SELECTED) for draw in range(DRAWS)]

    def alike(meta: MetaParams) -> MetaParams:
        mean = tf.reduce_mean(meta.log_sigma2)
        return meta._replace(log_sigma2=tf.fill(meta.log_sigma2.shape, mean))

    def wider(meta: MetaParams, factor: float) -> MetaParams:
        return meta._replace(log_sigma2=meta.log_sigma2 + np.float32(np.log(factor)))

    def only(meta: MetaParams, modules: list[str]) -> MetaParams:
        return freeze_others(meta, registry, modules)

    return {
        "sigma-Reptile": lambda _: sigma,
        "Reptile": lambda _: free(metas["reptile"]),
        "pre-trained": lambda _: free(metas["pretrained"]),
        **{
            f"sigma-Reptile {count} largest": lambda _, count=count: only(sigma, order[:count])
            for count in (SELECTED // 2, SELECTED, 2 * SELECTED)
        },
        "sigma-Reptile without its prior": lambda _: free(sigma),
        "sigma-Reptile x10": lambda _: wider(sigma, 10),
        "sigma-Reptile x100": lambda _: wider(sigma, 100),
        f"{SELECTED} at random": lambda speaker: only(sigma, draws[speaker % DRAWS]),
        "sigma-Reptile one variance": lambda _: alike(sigma),
        "sigma-Reptile one variance x100": lambda _: alike(wider(sigma, 100)),
        f"first {SELECTED}": lambda _: only(sigma, names[:SELECTED]),
        f"last {SELECTED}": lambda _: only(sigma, names[-SELECTED:]),
    }


def measure(experiment: Experiment, curves: Curves, given: argparse.Namespace) -> None:
    """Append the lines that are missing, speaker by speaker."""
    held_out = experiment.held_out()
    steps = recorded_steps(given.steps, points=given.points)
    there = {(r["speaker"], r["curve"], r["share"], r["steps"][-1]) for r in read(given.state)}
    for speaker in given.speakers:
        for name in [name for name in curves if name in (given.curves or curves)]:
            if (speaker, name, given.share, given.steps) in there:
                continue
            found = held_out.curves(curves[name](speaker), count=1, steps=steps, first=speaker)
            row = {"speaker": speaker, "curve": name, "share": given.share, "steps": steps}
            row["bits"] = [round(float(bits), 5) for bits in found.metric[0]]
            with open(given.state, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"speaker {speaker}, {name}: {row['bits'][0]} to {row['bits'][-1]}", flush=True)


def read(state: str) -> list[dict[str, Any]]:
    """The lines of the state."""
    path = Path(state)
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def by_curve(rows: list[dict[str, Any]], share: float) -> tuple[list[int], dict[str, np.ndarray]]:
    """(steps, name -> bits [speakers, steps]) for the speakers that have all curves of a share."""
    own = [row for row in rows if row["share"] == share]
    last = max(row["steps"][-1] for row in own)
    own = [row for row in own if row["steps"][-1] == last]
    names = list(dict.fromkeys(row["curve"] for row in own))
    bits = {(row["curve"], row["speaker"]): row["bits"] for row in own}
    speakers = sorted({row["speaker"] for row in own})
    whole = [s for s in speakers if all((name, s) in bits for name in names)]
    return own[0]["steps"], {n: np.array([bits[n, s] for s in whole]) for n in names}


def table(steps: list[int], found: Mapping[str, np.ndarray]) -> list[str]:
    """Markdown: bits before, at the best step of the mean, at the end, and paired differences."""
    lines = [
        "| adapts | before | best (at step) | at the end | end less own best |"
        f" end less {REFERENCE}'s |",
        "|---|---|---|---|---|---|",
    ]
    for name, bits in found.items():
        best = int(np.argmin(bits.mean(axis=0)))
        risen, gap = bits[:, -1] - bits[:, best], bits[:, -1] - found[REFERENCE][:, -1]
        cells = [
            name,
            f"{bits[:, 0].mean():.3f}",
            f"{bits[:, best].mean():.3f} ({steps[best]})",
            f"{bits[:, -1].mean():.3f}",
            *("{:+.3f} ± {:.3f}".format(*mean_and_ci95(x)) for x in (risen, gap)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def write(rows: list[dict[str, Any]], out: Path) -> None:
    """curves.png and curves.md: a panel and a table for each share."""
    shares = sorted({row["share"] for row in rows})
    matplotlib.use("Agg")
    figure, axes = plt.subplots(1, len(shares), figsize=(6 * len(shares), 4.5), squeeze=False)
    text: list[str] = []
    for share, axis in zip(shares, axes[0], strict=True):
        steps, found = by_curve(rows, share)
        count = len(next(iter(found.values())))
        for name, bits in found.items():
            mean, ci95 = mean_and_ci95(bits - found[REFERENCE][:, :1])
            (line,) = axis.plot(np.maximum(steps, 0.7), mean, label=name, marker=".")
            axis.fill_between(
                np.maximum(steps, 0.7), mean - ci95, mean + ci95, color=line.get_color(), alpha=0.1
            )
        axis.set(xscale="log", xlabel="adaptation steps", title=f"{share:.0%} of the utterances")
        axis.set_ylabel(f"bits per sample less {REFERENCE}'s before")
        text += [f"{share:.0%} of the training utterances, {count} speakers:", ""]
        text += [*table(steps, found), ""]
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "curves.png", dpi=110)
    (out / "curves.md").write_text("\n".join(text), encoding="utf-8")
    print("\n".join(text))


if __name__ == "__main__":
    main()
