"""What a network costs before its first meta-step: processor seconds and graph nodes by modules.

  python -m benchmarks.compile_time --modules=9,30,123,500

A WaveNet with that many modules at least (ten blocks a cycle have 40, the last block one less),
tiny in its channels and its piece, so that what is measured is TensorFlow's work on the graph: one
meta-step of sigma-Reptile (three steps of proximal Adam, two Hessian products) and one evaluation
scheme (adaptation and metric), XLA off. Each is timed in this process, on one thread, first call
and next one; the difference is what a start, a resume or a scheme costs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from absl import app, flags

from meta_shrink.adaptation import adaptation, make_adapt
from meta_shrink.linear_solve import damped_solve
from meta_shrink.losses import negative_log_likelihood
from meta_shrink.meta_gradients import hessian_of, sigma_reptile
from meta_shrink.models import mlp, wavenet
from meta_shrink.proximal import proximal_adam
from meta_shrink.registry import ModuleRegistry
from meta_shrink.types import MetaParams, Task

MODULES = flags.DEFINE_list("modules", ["9", "30", "123"], "Numbers of modules.")
SAMPLES, FRAMES, FEATURES, CHANNELS = 160, 2, 126, 8
PER_CYCLE = 40


def network(modules: int) -> tuple[Any, Task, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
    """A model, a task and a loss: dense layers for a few modules, else the smallest WaveNet."""
    rng = np.random.default_rng(0)
    if modules < PER_CYCLE:
        model = mlp(seed=0, hidden=[CHANNELS] * (modules - 1), outputs=1)
        x, y = (tf.constant(rng.normal(size=[2, 10, 1]), tf.float32) for _ in range(2))
        return (
            model,
            Task((x[0], y[0]), (x[1], y[1]), tf.constant([0, 0])),
            lambda t, o: tf.reduce_sum((o - t) ** 2, 1),
        )
    cycles = -(-(modules - 3) // PER_CYCLE)
    model = wavenet(
        seed=0, samples=SAMPLES, frames=FRAMES, features=FEATURES, channels=CHANNELS, cycles=cycles
    )

    def batch():
        codes = tf.constant(rng.integers(0, 256, [2, 1, SAMPLES]), tf.int32)
        told = tf.constant(rng.normal(size=[1, FRAMES, FEATURES]), tf.float32)
        return [codes[0], told], codes[1]

    def loss(target, output):
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target, output)
        return tf.reduce_mean(losses, axis=-1)

    return model, Task(batch(), batch(), tf.constant([0, 0])), loss


def nodes_of(function: Any) -> int:
    graph = function.graph.as_graph_def()
    return len(graph.node) + sum(len(inner.node_def) for inner in graph.library.function)


def measured(function: Callable[..., Any], *operands: Any) -> dict[str, float]:
    """Processor seconds of tracing, of the first run without an ordinary run, and the nodes."""
    compiled, times = tf.function(function, autograph=False), [time.process_time()]
    concrete = compiled.get_concrete_function(*operands)
    times.append(time.process_time())
    for _ in range(2):
        compiled(*operands)
        times.append(time.process_time())
    trace, first, again = np.diff(times)
    return {
        "nodes": nodes_of(concrete),
        "trace_seconds": round(trace, 1),
        "first_run_seconds": round(first - again, 1),
    }


def row(modules: int) -> dict[str, Any]:
    """The measurements of one size."""
    model, task, loss = network(modules)
    registry = ModuleRegistry.by_layer(model)
    nll = negative_log_likelihood(model, loss, native=True)
    count = registry.num_modules
    phi = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    meta = MetaParams(phi, tf.zeros([count]), tf.fill([count], -7.0))
    steps = adaptation(nll, proximal_adam(), registry, native=True)
    adapt = make_adapt(steps, steps=3)
    gradient = sigma_reptile(
        nll,
        registry,
        solve=damped_solve(cg_steps=2, damping=0.1),
        hessian=hessian_of(nll, native=True),
    )

    def scheme(meta: MetaParams, task: Task) -> tf.Tensor:
        return nll(adapt(meta, task), task.val)

    return {
        "modules": count,
        "training": measured(lambda meta, task: gradient(meta, task, adapt), meta, task),
        "evaluation": measured(scheme, meta, task),
    }


def main(_: list[str]) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for modules in MODULES.value:
        print(json.dumps(row(int(modules))), flush=True)


if __name__ == "__main__":
    app.run(main)
