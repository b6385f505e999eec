"""R1, R2, R12, R16: real training runs that are killed and stopped at any moment."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import statistics
from collections.abc import Iterator

import tensorflow as tf

from benchmarks.faults.processes import Ended, flags, run
from benchmarks.faults.results import Row

ALGORITHMS = (
    "sigma_reptile",
    "sigma_maml",
    "sigma_imaml",
    "maml",
    "fomaml",
    "imaml",
    "reptile",
    "meta_sgd",
)
STEPS = 60
ALLOWED_SECONDS = 2.0
PREEMPTED_EVERY = 600.0


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def training_flags() -> list[str]:
    """What makes the sinusoid config a run of a second."""
    return flags(
        config__train__steps=STEPS,
        config__train__jit="off",
        config__train__meta_batch_size=2,
        config__train__task_axis="sequential",
        config__train__log_every=5,
        config__train__eval_every=20,
        config__train__checkpoint_every=7,
        config__adapt__steps=4,
        config__eval__num_tasks=2,
    )


class Runs:
    """Runs of a small sinusoid config in a folder."""

    def __init__(self, folder: str, *, seed: int = 0) -> None:
        self.folder, self.random = folder, random.Random(seed)
        os.makedirs(folder, exist_ok=True)

    def train(self, name: str, algorithm: str, **how) -> Ended:
        """One process of launch.train."""
        workdir = os.path.join(self.folder, name)
        arguments = flags(config=f"configs/sinusoid.py:{algorithm}", workdir=workdir)
        return run("launch.train", [*arguments, *training_flags()], **how)

    def trained(self) -> str:
        """The workdir of a whole run of sigma-Reptile, made when it is first asked for."""
        if not os.path.exists(os.path.join(self.folder, "trained", "metrics.jsonl")):
            self.whole("trained", "sigma_reptile")
        return os.path.join(self.folder, "trained")

    def evaluated(self) -> str:
        """The same, evaluated."""
        place = os.path.join(self.folder, "evaluated")
        if not os.path.exists(place):
            shutil.copytree(self.trained(), place)
            self._must("launch.evaluate", flags(workdir=place))
        return place

    def made(self, name: str, program: str, **given: object) -> str:
        """The folder that an export of the trained run writes, made when it is first asked for."""
        place = os.path.join(self.folder, name)
        if not os.path.exists(place):
            self._must(program, flags(workdir=self.trained(), out=place, **given))
        return place

    def _must(self, program: str, arguments: list[str]) -> None:
        ended = run(program, arguments)
        if ended.code:
            raise RuntimeError(f"{program} ended with {ended.code}: {ended.output[-500:]}")

    def whole(self, name: str, algorithm: str) -> Ended:
        """An uninterrupted run."""
        ended = self.train(name, algorithm)
        if ended.code:
            raise RuntimeError(f"{name} ended with {ended.code}: {ended.output[-500:]}")
        return ended

    def fingerprint(self, name: str) -> str:
        """SHA-256 of metrics.jsonl and of every variable of the newest checkpoint."""
        workdir = os.path.join(self.folder, name)
        digest = hashlib.sha256()
        with open(os.path.join(workdir, "metrics.jsonl"), "rb") as file:
            digest.update(file.read())
        prefix = tf.train.latest_checkpoint(os.path.join(workdir, "checkpoints"))
        reader = tf.train.load_checkpoint(prefix)
        for key in sorted(reader.get_variable_to_shape_map()):
            if key.endswith("VARIABLE_VALUE") and not key.startswith("save_counter"):
                digest.update(key.encode() + reader.get_tensor(key).tobytes())
        return digest.hexdigest()

    def leftovers(self, name: str) -> list[str]:
        """What is there beyond the newest checkpoints, the logs and the lock."""
        workdir = os.path.join(self.folder, name)
        known = ("checkpoints", "config.json", ".lock", "metrics.jsonl", "timing.jsonl")
        odd = [entry for entry in os.listdir(workdir) if entry not in (*known, "tensorboard")]
        files = os.listdir(os.path.join(workdir, "checkpoints"))
        steps = sorted({int(f.split("-")[1].split(".")[0]) for f in files if f.startswith("ckpt-")})
        allowed = {"checkpoint"} | {
            f"ckpt-{step}{ending}"
            for step in steps[-3:]
            for ending in (".index", ".sha256", ".data-00000-of-00001")
        }
        return odd + sorted(set(files) - allowed)


def kills(runs: Runs, count: int, algorithms: tuple[str, ...]) -> Iterator[Row]:
    """R1 and R12: kill -9 at random seconds until the run ends; then compare it, to the bit."""
    equal, killed, left = 0, 0, []
    for algorithm in algorithms:
        whole = runs.whole(f"whole_{algorithm}", algorithm)
        expected = runs.fingerprint(f"whole_{algorithm}")
        for number in range(count):
            name = f"killed_{algorithm}_{number}"
            killed += _until_done(runs, name, algorithm, whole.seconds)
            equal += runs.fingerprint(name) == expected
            left += runs.leftovers(name)
    total = count * len(algorithms)
    what = f"kill -9 at random instants, {len(algorithms)} algorithms, {killed} kills"
    yield Row("R1", what, "all runs equal to the bit", f"{equal}/{total}", equal == total)
    found = f"{len(left)} files" + (f": {', '.join(left[:3])}" if left else "")
    yield Row("R12", f"leftovers after these {killed} kills", "0 files", found, not left)


def _until_done(runs: Runs, name: str, algorithm: str, seconds: float) -> int:
    killed = 0
    while True:
        at = runs.random.uniform(0.2, 1.05) * seconds
        # From the third process on it may end, or every one would be killed before its first save.
        number = signal.SIGKILL if killed < 2 else None
        ended = runs.train(name, algorithm, number=number, at=at)
        if ended.code == 0:
            return killed
        if ended.code != -signal.SIGKILL:
            raise RuntimeError(f"{name} ended with {ended.code}: {ended.output[-300:]}")
        killed += 1


def signals(runs: Runs, count: int, fresh: int) -> Iterator[Row]:
    """R2: one of three signals at a random second; then the same command to the end."""
    whole = runs.whole("whole_stopped", "sigma_reptile")
    expected = runs.fingerprint("whole_stopped")
    after, bad = [], []
    for number in range(count + fresh):
        name, is_fresh = f"stopped_{number}", number >= count
        ended = runs.train(
            name,
            "sigma_reptile",
            number=SIGNALS[number % 3],
            at=runs.random.uniform(0.02, 4.0 if is_fresh else whole.seconds),
            fresh=is_fresh,
        )
        if ended.seconds_after is None or ended.code == 0:
            continue  # It had ended before.
        after.append(ended.seconds_after)
        runs.train(name, "sigma_reptile")
        is_same = runs.fingerprint(name) == expected
        if ended.code != 42 or "Traceback" in ended.output or not is_same:
            bad.append(f"{ended.code}")
    slowest = max(after, default=0.0)
    found = f"{len(after) - len(bad)}/{len(after)}; at most {slowest:.2f} s of the processor"
    met = not bad and slowest <= ALLOWED_SECONDS
    what = "SIGTERM, SIGINT, SIGHUP at random instants, from the first import on"
    yield Row("R2", what, "exit 42, no traceback, then equal to the bit; <= 2 s", found, met)


def goodput(runs: Runs, count: int) -> Iterator[Row]:
    """R16: what a restart costs, against ten minutes between two of them."""
    costs = []
    runs.trained()
    for _ in range(count):
        ended = runs.train("trained", "sigma_reptile", fresh=True)  # Done: starts, restores.
        costs.append(ended.seconds)
    cost = statistics.median(costs)
    share = PREEMPTED_EVERY / (PREEMPTED_EVERY + cost + ALLOWED_SECONDS)
    found = (
        f"{100 * share:.1f} %: a restart costs {cost:.1f} s of the processor, importing included"
    )
    yield Row("R16", "goodput, preempted every 10 minutes", ">= 97 %", found, share >= 0.97)
