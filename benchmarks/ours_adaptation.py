"""Task adaptation of the 20-way convnet with meta_shrink, as `peers.adaptation_workload` has it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks.peers import adaptation_workload as workload
from meta_shrink.adaptation import adaptation, make_adapt
from meta_shrink.losses import cross_entropy, negative_log_likelihood
from meta_shrink.models import convnet
from meta_shrink.proximal import proximal_gd
from meta_shrink.registry import ModuleRegistry
from meta_shrink.task_axis import over_tasks
from meta_shrink.training.distribution import set_cpu_threads
from meta_shrink.types import Adapt, MetaParams, NegLogLik, Task


class Parts(NamedTuple):
    """The library's own functions for the workload's network; make_adapt: steps -> Adapt."""

    registry: ModuleRegistry
    nll: NegLogLik
    make_adapt: Callable[[int], Adapt]


def parts(precision="float32") -> Parts:
    """With float32 or bfloat16 convolutions, on the CPU without XLA, as the image configs have."""
    model = convnet(
        seed=0,
        image_size=workload.IMAGE_SIZE,
        channels=1,
        classes=workload.CLASSES,
        filters=workload.FILTERS,
        blocks=workload.BLOCKS,
        downsampling="pool",
        precision=precision,
        pixel_max=1.0,
    )
    registry = ModuleRegistry.by_layer(model)
    nll = negative_log_likelihood(model, cross_entropy(), native=True)
    steps = adaptation(nll, proximal_gd(), registry, next_batch=_fixed_batch)
    return Parts(registry, nll, lambda num_steps: make_adapt(steps, steps=num_steps))


def build(num_tasks, num_steps, *, num_threads=1, precision="float32", task_axis="sequential"):
    """Returns `step()`: adaptation of `num_tasks` tasks; the last one's parameters as numpy."""
    set_cpu_threads(cpu_threads=num_threads)
    library = parts(precision)
    meta = meta_params(library.registry, workload.initial_params())
    tasks = as_tasks(*workload.sample_tasks(num_tasks))
    adapt = library.make_adapt(num_steps)

    @tf.function(autograph=False)
    def run(meta, tasks):
        return over_tasks(lambda task: adapt(meta, task), task_axis)(tasks)

    return lambda: [value[-1].numpy() for value in run(meta, tasks)]


def adapt(phi, images, labels, *, num_steps, precision="float32", sigma2=None) -> list[np.ndarray]:
    """Adapted parameters from numpy to numpy; images [batches, N, 28, 28, 1]."""
    library = parts(precision)
    meta = meta_params(library.registry, phi, sigma2)
    task = tf.nest.map_structure(lambda x: x[0], as_tasks(images[np.newaxis], labels[np.newaxis]))
    run = tf.function(library.make_adapt(num_steps), autograph=False)
    return [value.numpy() for value in run(meta, task)]


def matmul(size, *, bfloat16=False) -> Callable[[], Any]:
    """A function that multiplies two [size, size] matrices."""
    matrix = tf.random.stateless_normal([size, size], [0, 0])
    matrix = tf.cast(matrix, tf.bfloat16 if bfloat16 else tf.float32)
    return lambda: tf.matmul(matrix, matrix).numpy()


def meta_params(registry: ModuleRegistry, phi, sigma2=None) -> MetaParams:
    """phi as given, the workload's learning rate and one prior variance for all modules."""
    count = registry.num_modules
    return MetaParams(
        [tf.constant(value) for value in phi],
        tf.fill([count], np.float32(np.log(sigma2 or workload.SIGMA2))),
        tf.fill([count], np.float32(np.log(workload.LEARNING_RATE))),
    )


def as_tasks(images, labels) -> Task:
    """Tasks whose training data are mini-batches; their validation data are not used."""
    train: Any = (tf.constant(images), tf.constant(labels))
    return Task(train, train, tf.zeros([len(images), 2], tf.int32))


def _fixed_batch(task: Task, step: tf.Tensor):
    return tf.nest.map_structure(lambda x: tf.gather(x, step % x.shape[0]), task.train)
