"""The parts of a meta-step that are repeated: an adaptation step and a Hessian product.

    python -m benchmarks.tpu_proof.parts PART FILE
    python -m benchmarks.tpu_proof.parts PART

Writes the module for the TPU's compiler to FILE (by the tensorflow-tpu wheel); without one, prints
a line of JSON: what the part takes on this machine's processor, compiled by XLA, on one thread
(by any other TensorFlow).
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from benchmarks.settings import config_of
from benchmarks.tpu_proof.stand_ins import stand_ins
from meta_shrink.experiments.build import Experiment, build
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.rng import root_key
from meta_shrink.task_axis import over_tasks
from meta_shrink.training.distribution import set_cpu_threads
from meta_shrink.training.meta_step import task_keys
from meta_shrink.types import Batch, MetaParams, Params, Task

# The paper's three experiments, at its sizes. File of configs/, its argument.
EXPERIMENTS = {
    "sinusoid": ("sinusoid", "sigma_reptile"),
    "omniglot_alphabets": ("omniglot_alphabets", "large_sigma_imaml"),
    "speech": ("speech", "sigma_reptile"),
}
CPU = "cpu"
POINTS = 10  # of a sinusoid, all of them in each step
ROUNDS = 3  # timings


class Part(NamedTuple):
    """A part of the meta-step of an experiment.

    topology: CPU to time it on this machine. tasks: as one batch (tf.vectorized_map) if more than
    one. times: mini-batches of so many times the config's size. precision:
    device.matmul_precision.
    """

    experiment: str
    part: str = "step"
    topology: str = "v5e:2x2"
    tasks: int = 1
    times: int = 1
    precision: str = "float32"

    @property
    def name(self) -> str:
        """Its name, on the command line and of its file."""
        return "-".join(map(str, self))


def part_named(name: str) -> Part:
    """The part of a name."""
    experiment, part, topology, tasks, times, precision = name.split("-")
    return Part(experiment, part, topology, int(tasks), int(times), precision)


def main(arguments: list[str]) -> None:
    """Lower a part, or time it; see the module's docstring."""
    name, *path = arguments
    set_cpu_threads(cpu_threads=1)
    compiled, given = function_of(part_named(name))
    if path:
        how = {"stage": "hlo_serialized", "platform_name": "TPU"}
        Path(path[0]).write_bytes(compiled.experimental_get_compiler_ir(*given)(**how))
    else:
        parameters = sum(int(tf.size(x)) for x in given[0].phi)
        seconds = fastest(lambda: compiled(*given))
        print(json.dumps({"cpu_seconds": seconds, "parameters": parameters}))


def experiment_of(part: Part) -> Experiment:
    """The experiment of a part, on stand-ins for its data."""
    config = config_of(*EXPERIMENTS[part.experiment]).to_dict()
    config["train"]["jit"] = "on"
    config["device"]["matmul_precision"] = part.precision
    if config["adapt"]["batch_size"]:
        config["adapt"]["batch_size"] *= part.times
    else:
        config["task"]["num_train"] = part.times * POINTS
    with stand_ins():
        return build(config)


def function_of(part: Part) -> tuple[Any, tuple[MetaParams, tuple[Task, Batch]]]:
    """The part as a function that XLA compiles, and its arguments: Phi, tasks, a batch of each."""
    experiment = experiment_of(part)
    keys = task_keys(root_key(0, "train_tasks"), tf.constant(0, tf.int64), 0, part.tasks)
    drawn = [experiment.source.sample(key) for key in keys]
    pairs = [(task, experiment.adapt.next_batch(task, tf.constant(0))) for task in drawn]
    repeated = PARTS[part.part]

    @tf.function(jit_compile=True, autograph=False)
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
    return hessian_vector_product(experiment.nll, meta.phi, batch)(meta.phi)


PARTS = {"step": step, "gradient": gradient, "product": product}


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
