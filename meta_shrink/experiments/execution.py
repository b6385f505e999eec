"""How a config is run: with XLA or without it, tasks one after another or as one batch.

"auto" looks at the network. What was measured on the CPU: XLA pays where operations cost less than
their dispatch, after some hundreds of meta-steps; tasks as one batch are faster under XLA and on
accelerators, and slower than one after another without.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from meta_shrink.adaptation import NextBatch
from meta_shrink.errors import UsageError
from meta_shrink.keras_model import flat_layers
from meta_shrink.meta_gradients import Method
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.models import graphs
from meta_shrink.models.pure_call import pure_call
from meta_shrink.models.refusals import example_specs
from meta_shrink.network_loss import STEP, noise_key, noisy
from meta_shrink.rng import root_key
from meta_shrink.sections import choose
from meta_shrink.task_axis import TASK_AXES, over_tasks, repeat_for_tasks
from meta_shrink.types import MetaParams, NegLogLik, Task, TaskSource

MOST_COMPILED = 64  # variables of a network that "auto" compiles on the CPU
FEWEST_META_STEPS = 500  # fewer are over before compiling has paid
LOOPS = ("While", "StatelessWhile")


def use_xla(choice: str, model: keras.Model, meta_steps: int) -> bool:
    """XLA or not; "auto" compiles on accelerators, and small dense networks on the CPU.

    Not there: convolutions (kernels of more than two axes), where TensorFlow's own kernels are
    faster, and networks of many variables, which take minutes to compile; nowhere: networks with a
    loop (recurrent ones), which take longer still and cannot be stopped meanwhile.

    Raises:
      UsageError: an unknown choice, or TensorFlow is told to compile nothing.
    """
    if tf.config.functions_run_eagerly():
        raise UsageError(
            "tf.config.run_functions_eagerly(True) is on, under which TensorFlow cannot run a "
            "meta-step: set it to False."
        )
    choose("train.jit", dict.fromkeys(("auto", "on", "off")), choice)
    if choice != "auto":
        return choice == "on"
    axes = [len(variable.shape) for variable in model.trainable_variables]
    small = max(axes, default=0) <= 2 and len(axes) <= MOST_COMPILED
    worth_it = on_accelerator() or (small and meta_steps >= FEWEST_META_STEPS)
    return worth_it and not has_loop(model)


def on_accelerator() -> bool:
    """Whether TensorFlow has a GPU or a TPU."""
    return any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))


def has_loop(model: keras.Model) -> bool:
    """Whether the network loops over an axis of its inputs; one that cannot be called does too."""
    if any(isinstance(layer, keras.layers.RNN) for layer in flat_layers(model)):
        return True
    specs = example_specs(model)
    if specs is None:
        return False
    params, state = ([v.numpy() for v in variables] for variables in _variables(model))
    call = tf.function(lambda inputs: pure_call(model, params, state, inputs).outputs)
    try:
        graph = call.get_concrete_function(specs)
    except (ValueError, TypeError, RuntimeError, tf.errors.OpError):  # The loss refuses it.
        return True
    return any(kind in LOOPS for kind, *_ in graphs.behind(graph.outputs))


def _variables(model: keras.Model):
    return model.trainable_variables, model.non_trainable_variables


def task_axis_of(
    choice: str, method: Method, jit: bool, model: keras.Model, vectorises: Callable[[], None]
) -> str:
    """How the tasks of a meta-batch run, one of TASK_AXES.

    "auto" takes them as one batch where that is faster and works, else one after another.

    Args:
      vectorises: raises UsageError if the network cannot be computed for a batch of tasks.

    Raises:
      UsageError: no such choice, or one that does not work for this network and method.
    """
    choose("train.task_axis", dict.fromkeys(("auto", *TASK_AXES)), choice)
    # tf.vectorized_map turns the lists of back-propagation into lists of lists, unknown to XLA.
    compiles = method.in_chunks or not jit
    if choice == "vectorized" and not compiles:
        raise UsageError(
            "train.task_axis='vectorized' with an algorithm that back-propagates through "
            "adaptation (maml) cannot be compiled by XLA; set train.task_axis to 'sequential' or "
            "'parallel', or train.jit to 'off'."
        )
    if choice == "vectorized":
        vectorises()
    if choice != "auto":
        return choice
    if not compiles or not (jit or on_accelerator()) or has_loop(model):
        return "sequential"
    try:
        vectorises()
    except UsageError:
        return "sequential"
    return "vectorized"


def try_vectorized(
    nll: NegLogLik, initial: MetaParams, source: TaskSource, next_batch: NextBatch, method: Method
) -> None:
    """Trace a gradient of two tasks at once, and a Hessian product where the method needs one.

    Raises:
      UsageError: of over_tasks.
    """

    def gradient(pair: tuple[Task, list[tf.Tensor]]) -> list[tf.Tensor]:
        task, theta = pair
        loss = noisy(nll, noise_key(nll, task.key, STEP, 0))
        batch = next_batch(task, tf.constant(0))
        with tf.GradientTape() as tape:
            tape.watch(theta)
            value = loss(theta, batch)
        first = tape.gradient(value, theta, unconnected_gradients="zero")
        if method.solves or not method.in_chunks:
            return [*first, *hessian_vector_product(loss, theta, batch)(theta)]
        return first

    @tf.function(autograph=False)
    def of_two_tasks() -> list[tf.Tensor]:
        task = source.sample(root_key(0, "probe"))
        return over_tasks(gradient, "vectorized")(repeat_for_tasks((task, initial.phi), 2))

    of_two_tasks.get_concrete_function()
