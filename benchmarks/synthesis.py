"""How fast a WaveNet speaks: seconds of sound a second, ours and in NumPy and PyTorch.

  python -m benchmarks.synthesis --channels=16,32 --rows=1,16 --threads=1

With one thread the seconds are the processor's, with more the clock's: then nothing else should
run. `speak` compiled by XLA, by TensorFlow without it, and the same cached sampling written
in NumPy; each row has its own 12 dilated layers, as adapters give them. "one_voice" is the compiled
one with one adapter for all rows and "pitched" one whose first ten blocks hear a pitch period back,
by turns with it; compilation does not count and is told apart.
PyTorch, in a process of its own where it is installed, has one network for all rows, which is less
work. 16 kHz; all rows together.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from absl import app, flags

from meta_shrink import ModuleRegistry
from meta_shrink.models import wavenet
from meta_shrink.models.wavenet import DILATIONS
from meta_shrink.speech.features import FEATURES
from meta_shrink.speech.synthesis import DRAWN, Noise, silence, speak

CHANNELS = flags.DEFINE_list("channels", ["16", "32"], "Of the network.")
ROWS = flags.DEFINE_list("rows", ["1", "16"], "Voices at once.")
THREADS = flags.DEFINE_integer("threads", 1, "Of a process; NumPy's are those of its BLAS.", 1)
FRAMES, HOP, RATE, OWN = 40, 80, 16_000, range(10, 22)
ROUNDS = 3  # the best of these


def voices_of(channels: int, rows: int, **options: int) -> dict[str, tf.Tensor]:
    """Parameters by path; those of the OWN dilated layers a row each, unless rows is 0."""
    sizes = {"samples": HOP, "frames": 1, "features": FEATURES, "channels": channels}
    model = wavenet(seed=0, cycles=3, **sizes, **options)
    paths = ModuleRegistry.by_layer(model).paths
    voices = {
        p: tf.convert_to_tensor(v) for p, v in zip(paths, model.trainable_variables, strict=True)
    }
    own = {f"block_{block}_dilated/{part}" for block in OWN for part in ("kernel", "bias")}
    return {p: tf.stack([v] * rows) if rows and p in own else v for p, v in voices.items()}


def in_numpy(voices: dict[str, np.ndarray], features: np.ndarray, samples: int) -> np.ndarray:
    """codes [R, samples] by the same cached sampling."""
    rng, rows = np.random.default_rng(0), len(features)

    def affine(name: str, x: np.ndarray) -> np.ndarray:
        kernel, bias = voices[f"{name}/kernel"], voices[f"{name}/bias"]
        if "dilated" in name:
            kernel = kernel.reshape(*kernel.shape[:-3], -1, kernel.shape[-1])
        return ((x[:, np.newaxis] @ kernel)[:, 0] if kernel.ndim == 3 else x @ kernel) + bias

    dilations = [*DILATIONS] * 3
    conditions = [
        features @ voices[f"block_{b:02}_condition/kernel"] + voices[f"block_{b:02}_condition/bias"]
        for b in range(30)
    ]
    channels = voices["input/kernel"].shape[1]
    rings = [np.zeros([d, rows, channels], np.float32) for d in dilations]
    code, codes = np.full([rows], 128), np.zeros([rows, samples], np.int32)
    for t in range(samples):
        path = voices["input/kernel"][code] + voices["input/bias"]
        total = affine("input_skip", path)
        for b, d in enumerate(dilations):
            x = affine(f"block_{b:02}_dilated", np.concatenate([rings[b][t % d], path], 1))
            rings[b][t % d] = path
            signal, gate = np.split(x + conditions[b][:, t // HOP], 2, axis=1)
            z = np.tanh(signal) / (1 + np.exp(-gate))
            total = total + affine(f"block_{b:02}_skip", z)
            if b < 29:
                path = path + affine(f"block_{b:02}_residual", z)
        logits = affine("output_2", np.maximum(affine("output_1", np.maximum(total, 0)), 0))
        code = (logits + rng.gumbel(size=logits.shape)).argmax(1)
        codes[:, t] = code
    return codes


def in_torch(channels: int, rows: int, threads: int) -> float:
    """The real-time factor of the PyTorch peer, in this process."""
    import torch  # Not in the process of another framework.

    from benchmarks.peers import wavenet_torch

    torch.set_num_threads(threads)
    network = wavenet_torch.WaveNet(FEATURES, channels, 3)
    features, given = torch.randn(rows, FEATURES, 8), torch.full([rows, 8 * HOP], -1)
    _, best = by_turns(threads, lambda: wavenet_torch.speak(network, features, given, HOP))[0]
    return rows * 8 * HOP / RATE / best


def of_torch(channels: int, rows: int, threads: int) -> float | None:
    """The same from a process of its own; None where PyTorch is not installed."""
    told = f"{channels}, {rows}, {threads}"
    call = f"from benchmarks.synthesis import in_torch; print(in_torch({told}))"
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", call], capture_output=True, text=True, env=environment
    )
    if done.returncode and "No module named 'torch'" in done.stderr:
        return None
    done.check_returncode()
    return float(done.stdout.splitlines()[-1])


def by_turns(threads: int, *calls: Callable[[], Any]) -> list[tuple[float, float]]:
    """(seconds of the first call, of the best later one) of each, in rounds."""
    clock = time.process_time if threads == 1 else time.perf_counter
    found: list[list[float]] = [[] for _ in calls]
    for _ in range(1 + ROUNDS):
        for call, own in zip(calls, found, strict=True):
            start = clock()
            call()
            own.append(clock() - start)
    return [(own[0], min(own[1:])) for own in found]


def measured(channels: int, rows: int, threads: int) -> dict[str, float | None]:
    """Real-time factors: above 1 is faster than it is heard, all rows together."""
    voices = voices_of(channels, rows)
    features = np.random.default_rng(1).normal(size=[rows, FRAMES, FEATURES]).astype(np.float32)
    drawn, state = tf.fill([rows, FRAMES * HOP], DRAWN), silence(voices, rows)
    told, noise = tf.constant(features), tf.constant([Noise(n)(FRAMES * HOP) for n in range(rows)])
    plain = {path: value.numpy() for path, value in voices.items()}
    run = {jit: tf.function(speak, jit_compile=jit, autograph=False) for jit in (True, False)}
    one, pitched = voices_of(channels, 0), voices_of(channels, rows, pitch_blocks=10)
    more = silence(pitched, rows)
    compiled, shared, periodic = by_turns(
        threads,
        lambda: run[True](voices, told, drawn, noise, state).codes.numpy(),
        lambda: run[True](one, told, drawn, noise, state).codes.numpy(),
        lambda: run[True](pitched, told, drawn, noise, more).codes.numpy(),
    )
    (looped,) = by_turns(
        threads, lambda: run[False](voices, told, drawn, noise, state).codes.numpy()
    )
    (numpy,) = by_turns(threads, lambda: in_numpy(plain, features, 8 * HOP))
    sound = rows * FRAMES * HOP / RATE
    return {
        "channels": channels,
        "rows": rows,
        "threads": threads,
        "compiled": sound / compiled[1],
        "one_voice": sound / shared[1],
        "pitched": sound / periodic[1],
        "compile_s": compiled[0] - compiled[1],
        "tensorflow": sound / looped[1],
        "numpy": sound * 8 / FRAMES / numpy[1],
        "torch": of_torch(channels, rows, threads),
    }


def main(argv):
    """Measure; one line of JSON each."""
    del argv
    threads: int = THREADS.value
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for channels in map(int, CHANNELS.value):
        for rows in map(int, ROWS.value):
            print(json.dumps(measured(channels, rows, threads)), flush=True)


if __name__ == "__main__":
    app.run(main)
