"""The parts of a meta-step that are repeated: an adaptation step and a Hessian product.

    python -m benchmarks.tpu_proof.parts PART FILE
    python -m benchmarks.tpu_proof.parts PART

Writes the module for the TPU's compiler to FILE (by the tensorflow-tpu wheel); without one, prints
a line of JSON: what the part takes on this machine's processor (by any other TensorFlow), on one
thread, compiled by XLA where train.jit auto has it so.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks.settings import config_of
from benchmarks.tpu_proof.cost_rows import CPU, EXPERIMENTS, PARTS, Part, part_named
from benchmarks.tpu_proof.stand_ins import stand_ins
from meta_shrink.experiments.build import Experiment, build
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.rng import root_key
from meta_shrink.task_axis import over_tasks
from meta_shrink.training.distribution import set_cpu_threads
from meta_shrink.training.meta_step import task_keys
from meta_shrink.types import Batch, MetaParams, Params, Task

POINTS = 10  # of a sinusoid, all of them in each step
ROUNDS = 3  # timings


def main(arguments: list[str]) -> None:
    """Lower a part, or time it; see the module's docstring."""
    name, *path = arguments
    set_cpu_threads(cpu_threads=1)
    experiment = experiment_of(part := part_named(name))
    compiled, given = function_of(part, experiment)
    if path:
        how = {"stage": "hlo_serialized", "platform_name": "TPU"}
        Path(path[0]).write_bytes(compiled.experimental_get_compiler_ir(*given)(**how))
    else:
        seconds = fastest(lambda: compiled(*given))
        print(json.dumps({"cpu_seconds": seconds, **facts(experiment)}))


def facts(experiment: Experiment) -> dict[str, int]:
    """Of a meta-step: parameters, tasks, adaptation steps, iterations of a solve."""
    return {
        "parameters": sum(experiment.registry.sizes),
        "tasks": experiment.schedule.meta_batch_size,
        "steps": experiment.adapt.steps,
        "cg_steps": experiment.config["algorithm"]["cg_steps"],
    }


def experiment_of(part: Part) -> Experiment:
    """The experiment of a part, on stand-ins for its data."""
    config = config_of(*EXPERIMENTS[part.experiment]).to_dict()
    config["train"]["jit"] = "auto" if part.topology == CPU else "on"
    config["device"]["matmul_precision"] = part.precision
    if config["adapt"]["batch_size"]:
        config["adapt"]["batch_size"] *= part.times
    else:
        config["task"]["num_train"] = part.times * POINTS
    with stand_ins(tpu=part.topology != CPU):
        return build(config)


def function_of(
    part: Part, experiment: Experiment
) -> tuple[Any, tuple[MetaParams, tuple[Task, Batch]]]:
    """The part as a graph, and its arguments: Phi, tasks, a batch of each."""
    keys = task_keys(root_key(0, "train_tasks"), tf.constant(0, tf.int64), 0, part.tasks)
    drawn = [experiment.source.sample(key) for key in keys]
    pairs = [(task, experiment.adapt.next_batch(task, tf.constant(0))) for task in drawn]
    repeated = REPEATED[part.part]

    @tf.function(jit_compile=experiment.jit, autograph=False)
    def function(meta: MetaParams, pairs: tuple[Task, Batch]) -> Params:
        def one(pair: tuple[Task, Batch]) -> Params:
            return repeated(experiment, meta, *pair)

        return one(pairs) if part.tasks == 1 else over_tasks(one, "vectorized")(pairs)

    if part.tasks == 1:
        return function, (experiment.initial, pairs[0])
    return function, (experiment.initial, tf.nest.map_structure(lambda *x: tf.stack(x), *pairs))


def step(experiment: Experiment, meta: MetaParams, task: Task, batch: Batch) -> Params:
    """theta after one proximal step from phi, its own mini-batch drawn and augmented."""
    del batch
    adaptation = experiment.adapt.adaptation
    return adaptation.advance(meta, task, adaptation.start(meta), 1).theta


def gradient(experiment: Experiment, meta: MetaParams, task: Task, batch: Batch) -> Params:
    """That of the loss at phi, on a mini-batch that is there."""
    del task
    with tf.GradientTape() as tape:
        tape.watch(meta.phi)
        loss = experiment.nll(meta.phi, batch)
    return tape.gradient(loss, meta.phi)


def product(experiment: Experiment, meta: MetaParams, task: Task, batch: Batch) -> Params:
    """(grad^2 nll) phi on such a mini-batch."""
    del task
    native = not experiment.jit
    return hessian_vector_product(experiment.nll, meta.phi, batch, native=native)(meta.phi)


REPEATED: dict[str, Any] = dict(zip(PARTS, (step, gradient, product), strict=True))


def fastest(call: Callable[[], Any]) -> float:
    """Processor seconds of the fastest of some calls, after one that compiles."""
    call()
    found = []
    for _ in range(ROUNDS):
        started = time.process_time()
        call()
        found.append(time.process_time() - started)
    return min(found)


if __name__ == "__main__":
    main(sys.argv[1:])
