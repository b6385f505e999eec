"""Which form of a causal dilated convolution is fastest here: one matrix product, two, or native.

  python -m benchmarks.dilated_forms --channels=16,32,128

A cycle of ten layers of width 2 (dilations 1 to 512, channels to twice as many, then halved again
by a gate) on one piece of 0.7 s at 16 kHz: its gradient, and a Hessian product of it, with XLA and
without. One thread; the forms take turns, and the best of the turns counts. Figures are processor
seconds a second of audio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink.training.distribution import set_cpu_threads

DILATIONS = tuple(2**power for power in range(10))
SAMPLES, RATE = 11_120, 16_000
Layer = Callable[[tf.Tensor, tf.Tensor, int], tf.Tensor]


def past(x: tf.Tensor, dilation: int) -> tf.Tensor:
    """x `dilation` samples ago, 0 before the first: [1, T, C] -> [1, T, C]."""
    return tf.pad(x[:, :-dilation], [[0, 0], [dilation, 0], [0, 0]])


def one_product(x: tf.Tensor, kernel: tf.Tensor, dilation: int) -> tf.Tensor:
    """[past, now] [T, 2 C] times the kernel [2 C, U]."""
    both = tf.concat([past(x, dilation), x], -1)[0]
    return tf.matmul(both, tf.reshape(kernel, [-1, kernel.shape[-1]]))[tf.newaxis]


def two_products(x: tf.Tensor, kernel: tf.Tensor, dilation: int) -> tf.Tensor:
    """past times a half of the kernel plus now times the other."""
    before, now = tf.unstack(kernel)
    return (tf.matmul(past(x, dilation)[0], before) + tf.matmul(x[0], now))[tf.newaxis]


def native(x: tf.Tensor, kernel: tf.Tensor, dilation: int) -> tf.Tensor:
    """TensorFlow's convolution with dilation, after padding on the left."""
    padded = tf.pad(x, [[0, 0], [dilation, 0], [0, 0]])
    # As Keras calls it: conv1d has no derivative with dilation on a CPU.
    return tf.nn.convolution(padded, kernel, padding="VALID", dilations=dilation)


FORMS: dict[str, Layer] = {
    "one product": one_product,
    "two products": two_products,
    "native": native,
}


def loss(form: Layer, x: tf.Tensor, kernels: Sequence[tf.Tensor]) -> tf.Tensor:
    """Mean square of what ten gated layers make of x [1, T, C]; kernels [2, C, 2 C]."""
    for kernel, dilation in zip(kernels, DILATIONS, strict=True):
        signal, gate = tf.split(form(x, kernel, dilation), 2, axis=-1)
        x = x + tf.tanh(signal) * tf.sigmoid(gate)
    return tf.reduce_mean(x**2)


def gradient(form: Layer, x: tf.Tensor, kernels: list[tf.Tensor]) -> list[tf.Tensor]:
    """Of the loss by the kernels."""
    with tf.GradientTape() as tape:
        tape.watch(kernels)
        value = loss(form, x, kernels)
    return tape.gradient(value, kernels)


def product(form: Layer, x: tf.Tensor, kernels: list[tf.Tensor]) -> list[tf.Tensor]:
    """Of the Hessian and the kernels themselves, by the gradient of an inner product."""
    with tf.GradientTape() as tape:
        tape.watch(kernels)
        found = gradient(form, x, kernels)
        pairs = zip(found, kernels, strict=True)
        inner = tf.add_n([tf.reduce_sum(g * tf.stop_gradient(k)) for g, k in pairs])
    return tape.gradient(inner, kernels)


def best(calls: dict[Any, Callable[[], Any]], turns: int) -> dict[Any, float]:
    """The fewest processor seconds of each call; they take turns."""
    times: dict[Any, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            started = time.process_time()
            call()
            times[name].append(time.process_time() - started)
    return {name: min(found[1:] or found) for name, found in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--channels", default="16,32", help="with commas")
    parser.add_argument("--turns", type=int, default=6, help="the first compiles")
    given = parser.parse_args()
    set_cpu_threads(cpu_threads=1)
    print(f"| channels | | | {' | '.join(FORMS)} |\n|---|---|---|{'---|' * len(FORMS)}")
    rng = np.random.default_rng(0)
    for channels in map(int, given.channels.split(",")):
        x = tf.constant(rng.normal(size=[1, SAMPLES, channels]), tf.float32)
        size = [2, channels, 2 * channels]
        scale = (2 * channels) ** -0.5
        kernels = [tf.constant(scale * rng.normal(size=size), tf.float32) for _ in DILATIONS]
        for jit in (True, False):
            for part in (gradient, product):
                calls = {
                    name: tf.function(
                        lambda form=form, part=part: part(form, x, kernels),  # noqa: B023
                        jit_compile=jit,
                    )
                    for name, form in FORMS.items()
                }
                found = best(calls, given.turns)
                cells = [f"{found[name] * RATE / SAMPLES:.3f}" for name in FORMS]
                print(
                    f"| {channels} | {'XLA' if jit else 'TensorFlow'} | {part.__name__} "
                    f"| {' | '.join(cells)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
