"""What adapting a voice costs: a WaveNet of 123 modules, ours beside plain PyTorch.

  python -m benchmarks.speech_cost --channels=16,32

A step of adaptation is the gradient of one piece (0.5 s scored behind 195 ms of context, 16 kHz),
Adam and the proximal step, all modules; a Hessian product is on the same piece. One thread. Each
row is a process of its own, and they take turns; figures are processor seconds a second of scored
audio, the best of the turns, and the peak memory of a process that makes 10 times as many steps,
against one that makes them once. PyTorch is in requirements/bench.in; without it, its row is left
out and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

FRAMES, CONTEXT, HOP, RATE, FEATURES = 100, 39, 80, 16_000, 126
KINDS = ("xla", "tensorflow", "torch")
CALLS = ("step", "product")


def piece() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """codes [1, T], features [1, F, C], targets [1, T], weights [1, T]."""
    rng, frames = np.random.default_rng(0), FRAMES + CONTEXT
    codes = rng.integers(0, 256, [1, frames * HOP + 1]).astype(np.int32)
    features = rng.normal(size=[1, frames, FEATURES]).astype(np.float32)
    scored = (np.arange(frames * HOP) >= CONTEXT * HOP).astype(np.float32)
    return codes[:, :-1], features, codes[:, 1:], scored[np.newaxis]


def ours(channels: int, *, jit: bool) -> dict[str, Callable[[int], None]]:
    """ "step": n steps of adaptation in one call; "product": n Hessian products."""
    import tensorflow as tf  # Not in the process of another framework.

    from meta_shrink import ModuleRegistry, cross_entropy, negative_log_likelihood, proximal_adam
    from meta_shrink.adaptation import adaptation
    from meta_shrink.meta_gradients.imaml import hessian_vector_product
    from meta_shrink.models import wavenet
    from meta_shrink.training.distribution import set_cpu_threads
    from meta_shrink.types import MetaParams, Task

    set_cpu_threads(cpu_threads=1)
    model = wavenet(
        seed=0,
        samples=(FRAMES + CONTEXT) * HOP,
        frames=FRAMES + CONTEXT,
        features=FEATURES,
        channels=channels,
        cycles=3,
    )
    registry = ModuleRegistry.by_layer(model)
    nll = negative_log_likelihood(model, cross_entropy(), native=not jit)
    codes, features, targets, weights = map(tf.constant, piece())
    batch = ([codes, features], targets, weights)
    phi = [tf.convert_to_tensor(v) for v in model.trainable_variables]
    rates = tf.fill([registry.num_modules], tf.math.log(5e-4))
    meta = MetaParams(phi, tf.fill([registry.num_modules], tf.math.log(0.01)), rates)
    task = Task(batch, batch, tf.constant([0, 0]))
    made = adaptation(nll, proximal_adam(), registry, native=not jit)

    @tf.function(jit_compile=jit, autograph=False)
    def step(count):
        return made.advance(meta, task, made.start(meta), count, max_steps=100_000).theta[0]

    @tf.function(jit_compile=jit, autograph=False)
    def product(vector):
        return hessian_vector_product(nll, phi, batch, native=not jit)(vector)

    def products(count: int) -> None:
        vector = phi
        for _ in range(count):
            vector = product(vector)

    return {"step": lambda count: step(tf.constant(count)), "product": products}


def peer(channels: int) -> dict[str, Callable[[int], None]]:
    """As `ours`, in PyTorch."""
    import torch  # Not in the process of another framework.

    from benchmarks.peers import wavenet_torch

    torch.set_num_threads(1)
    network = wavenet_torch.WaveNet(FEATURES, channels, 3)
    codes, features, targets, weights = (torch.tensor(x) for x in piece())
    given = codes.long(), features.transpose(1, 2).contiguous(), targets.long(), weights

    def product(count: int) -> None:
        params = list(network.parameters())
        for _ in range(count):
            losses = torch.nn.functional.cross_entropy(
                network(*given[:2]), given[2], reduction="none"
            )
            loss = (losses * weights).sum() / weights.sum()
            first = torch.autograd.grad(loss, params, create_graph=True)
            torch.autograd.grad(first, params, params)

    def step(count: int) -> None:
        wavenet_torch.adapt(network, *given, steps=count, sigma2=0.01)

    return {"step": step, "product": product}


def row(kind: str, channels: int, call: str, steps: int) -> None:
    """Time one call after a first one; print processor seconds, those of the first, memory."""
    calls = peer(channels) if kind == "torch" else ours(channels, jit=kind == "xla")
    seconds = []
    for count in (1, steps):
        started = time.process_time()
        calls[call](count)
        seconds.append(time.process_time() - started)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds[1] / steps, "first": seconds[0], "mib": memory}))


def run(kind: str, channels: int, call: str, steps: int) -> dict[str, float] | None:
    """What a process of its own finds; None where its framework is not installed."""
    own = ["--row", kind, str(channels), call, str(steps)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speech_cost", *own],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if done.returncode and "No module named 'torch'" in done.stderr:
        print("PyTorch is not installed: its row is left out.", file=sys.stderr)
        return None
    done.check_returncode()
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--channels", default="16", help="of the networks, with commas")
    parser.add_argument("--turns", type=int, default=3, help="the best of these")
    parser.add_argument("--steps", type=int, default=5, help="of adaptation in a turn")
    # What the processes of a row are started with.
    parser.add_argument("--row", nargs=4, metavar=("KIND", "CHANNELS", "CALL", "STEPS"))
    given = parser.parse_args()
    if given.row:
        kind, channels, call, steps = given.row
        return row(kind, int(channels), call, int(steps))
    audio = FRAMES * HOP / RATE
    print("| channels | | | s / s of audio | first call, s | peak, MiB | with 10 x the steps |")
    print("|---|---|---|---|---|---|---|")
    for channels in map(int, given.channels.split(",")):
        found = {
            (kind, call): [run(kind, channels, call, given.steps) for _ in range(given.turns)]
            for call in CALLS
            for kind in KINDS
        }
        for (kind, call), turns in found.items():
            there = [turn for turn in turns if turn]
            if not there:
                continue
            best = min(there, key=lambda turn: turn["seconds"])
            long = run(kind, channels, call, 10 * given.steps) or best
            print(
                f"| {channels} | {call} | {kind} | {best['seconds'] / audio:.2f} "
                f"| {best['first']:.1f} | {best['mib']:.0f} | {long['mib']:.0f} |",
                flush=True,
            )
    return None


if __name__ == "__main__":
    main()
