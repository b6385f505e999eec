"""What cannot be meta-learned right, refused before anything is trained, by the layer's name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.errors import UsageError, foreign
from meta_shrink.models import graphs
from meta_shrink.models.layer_refusals import check_layers
from meta_shrink.models.noise import random_layers
from meta_shrink.models.norm_refusals import check_norms_in_noise
from meta_shrink.models.private_names import flat_layers, seed_generators
from meta_shrink.models.pure_call import Called, batch_norms, pure_call


def check_network(model: keras.Model, inputs: Any = None) -> None:
    """The network is a differentiable function of its parameters, its inputs and a key of noise.

    Args:
      model: a built model.
      inputs: examples, or the tf.TensorSpec of them; the model's own inputs by default.

    Raises:
      UsageError: it is not; the sentence names the layer.
    """
    check_layers(model)
    before = [variable.numpy() for variable in model.non_trainable_variables]
    traced(model, inputs, lambda params, call, key: _check_graph(model, before, params, call, key))


def check_input_names(model: keras.Model, inputs: Any) -> None:
    """Inputs by name are the model's: Keras passes over those that it does not know.

    Raises:
      UsageError: there is another one.
    """
    own = getattr(model, "_inputs_struct", None)
    if own is None or not isinstance(inputs, Mapping):
        return
    names = list(own) if isinstance(own, Mapping) else [x.name for x in tf.nest.flatten(own)]
    if extra := sorted(set(inputs) - set(names)):
        raise UsageError(
            f"The examples have the input {extra[0]!r}, which model {model.name!r} does not take "
            f"(it takes {', '.join(names)}): leave it out."
        )


def check_second_derivatives(model: keras.Model, inputs: Any = None) -> None:
    """TensorFlow knows the second derivatives of the network in its parameters.

    Raises:
      UsageError: it does not, or takes one for zero; the sentence names the layer.
    """

    def check(params: list[tf.Tensor], call: Callable[..., Called], key: tf.Tensor) -> None:
        with graphs.nothing_taken_for_zero(params), tf.GradientTape() as outer:
            outer.watch(params)
            with tf.GradientTape() as inner:
                inner.watch(params)
                total = _smooth(call(key))
            gradients = inner.gradient(total, params)
            first = [tf.convert_to_tensor(g) for g in gradients if g is not None]
            try:
                outer.gradient(first, params)
            except LookupError as error:
                kind, name = graphs.culprit(error, first)
                raise UsageError(
                    f"{layer_of(model, name)} has no second derivative that TensorFlow knows "
                    f"({kind}), which this method needs: use reptile or fomaml, or another layer."
                ) from error

    traced(model, inputs, check)


def example_specs(model: keras.Model) -> Any:
    """The tf.TensorSpec of a model's inputs in its own structure; None if it does not tell."""
    inputs = getattr(model, "_inputs_struct", getattr(model, "inputs", None))
    if isinstance(inputs, list) and len(inputs) == 1:
        inputs = inputs[0]
    if inputs is None:
        return None
    return tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), inputs)


def traced(model: keras.Model, inputs: Any, check: Callable[..., None]) -> None:
    """Run `check` on (parameters, key -> call, key) of a graph that is never executed."""
    specs = example_specs(model) if inputs is None else tf.nest.map_structure(_spec, inputs)
    state = [variable.numpy() for variable in model.non_trainable_variables]

    @tf.function(autograph=False)
    def trace(params, inputs, key):
        check(list(params), lambda key: pure_call(model, params, state, inputs, key=key), key)

    params = [tf.TensorSpec(v.shape, v.dtype) for v in model.trainable_variables]
    try:
        trace.get_concrete_function(params, specs, tf.TensorSpec([2], tf.int32))
    except UsageError:
        raise
    except (ValueError, TypeError, RuntimeError, tf.errors.OpError) as error:
        raise UsageError(
            f"Model {model.name!r} cannot be called on its inputs, in training mode and without "
            f"noise: {foreign(str(error))}"
        ) from error


def _spec(x: Any) -> tf.TensorSpec:
    return x if isinstance(x, tf.TensorSpec) else tf.TensorSpec.from_tensor(tf.convert_to_tensor(x))


def layer_of(model: keras.Model, operation: str) -> str:
    """The innermost layer in the name of an operation, in words."""
    names = {layer.name for layer in flat_layers(model)}
    # TensorFlow numbers the scope of a layer that is called again.
    parts = [p if p in names else re.sub(r"_\d+$", "", p) for p in operation.split("/")]
    known = [part for part in parts if part in names]
    return f"Layer {known[-1]!r}" if known else f"Operation {operation!r}"


def _check_graph(
    model: keras.Model, before: Sequence[np.ndarray], params, call: Callable[..., Called], key
) -> None:
    with tf.GradientTape() as tape:
        tape.watch(params)
        called = call(key)
        total = _smooth(called)
    outputs = [*tf.nest.flatten(called.outputs), *called.penalties]
    operations = graphs.behind(outputs)
    _check_tables(model, operations)
    _check_known(model, operations)
    _check_state(model, before, called.state)
    _check_keyed(model, operations, graphs.in_front_of([key]))
    _check_closures(model, outputs, params)
    if random_layers(model):
        silent = call(None)
        _check_silent(model, graphs.behind(tf.nest.flatten(silent.outputs)))
        check_norms_in_noise(model, called.state, silent.state)
    with graphs.nothing_taken_for_zero(params):
        try:
            tape.gradient(total, params)
        except LookupError as error:
            kind, name = graphs.culprit(error, outputs)
            raise UsageError(
                f"{layer_of(model, name)} has no derivative that TensorFlow knows ({kind}): put it "
                "in front of all layers that learn, or take another one."
            ) from error


def _smooth(called: Called) -> tf.Tensor:
    """A smooth function of all that the network gives, []."""
    floats = [x for x in tf.nest.flatten(called.outputs) if x.dtype.is_floating]
    sums = [tf.reduce_sum(tf.cast(tf.square(x), tf.float32)) for x in floats]
    return tf.add_n(sums + [tf.cast(x, tf.float32) for x in called.penalties])


def _check_tables(model: keras.Model, operations: Sequence[tuple[str, str, str]]) -> None:
    for kind, _, name in operations:
        if graphs.is_table(kind):
            raise UsageError(
                f"{layer_of(model, name)} looks up a table, which is part of no "
                "checkpoint and of no exported model: apply it to the data before."
            )


def _check_known(model: keras.Model, operations: Sequence[tuple[str, str, str]]) -> None:
    """Keras's variables are tensors while the model is called; what is read is none of them.

    Python that TensorFlow calls is as unknown.
    """
    for kind, inner, name in operations:
        if kind in graphs.READS:
            raise UsageError(
                f"{layer_of(model, name)} reads a tf.Variable that Keras does not know, so that it "
                f"would neither learn nor be saved: make it with self.add_weight{_or(inner, name)}."
            )
        if kind in graphs.PYTHON:
            raise UsageError(
                f"{layer_of(model, name)} calls Python ({kind}), which no exported model can: "
                "write it with keras.ops, or apply it to the data before."
            )


def _check_state(model: keras.Model, before: Sequence[np.ndarray], after: Sequence[Any]) -> None:
    """Only batch normalisations and seeds write while the model is called."""
    own = {id(v) for layer in batch_norms(model) for v in layer.non_trainable_variables}
    own |= {id(g.state) for layer in random_layers(model) for g in seed_generators(layer)}
    for variable, old, new in zip(model.non_trainable_variables, before, after, strict=True):
        if id(variable) not in own and not _is_unchanged(old, new):
            raise UsageError(
                f"{variable.path} is written at every call, but tasks are independent and keep no "
                "state: use a layer that does not write."
            )


def _is_unchanged(old: np.ndarray, new: Any) -> bool:
    """Whether a variable after a call is the constant that was given, as in frozen layers."""
    static = tf.get_static_value(new)
    return static is not None and np.array_equal(static, old)


def _check_keyed(
    model: keras.Model, operations: Sequence[tuple[str, str, str]], keyed: set[str]
) -> None:
    for kind, inner, name in operations:
        draws = graphs.is_stateless_draw(kind) and name not in keyed
        if draws or graphs.is_stateful_draw(kind):
            raise UsageError(
                f"{layer_of(model, name)} draws at random ({kind}) without a seed "
                "generator of its own, so that all steps and tasks would see one noise: give it "
                "self.seed_generator = keras.random.SeedGenerator(0), and draw with keras.random "
                f"and seed=self.seed_generator{_or(inner, name)}."
            )


def _or(inner: str, name: str) -> str:
    """More advice on an operation inside of a function that the graph calls."""
    return "" if inner == name else ", or take away the @tf.function around it"


def _check_closures(model: keras.Model, outputs: Sequence[tf.Tensor], params) -> None:
    for operation in outputs[0].graph.get_operations():
        if graphs.closes_over(operation, params):
            raise UsageError(
                f"{layer_of(model, operation.name)} has a tf.custom_gradient (or recompute_grad) "
                "of a function that uses learned numbers which are none of its arguments, so that "
                "they would have no gradient: pass them as arguments."
            )


def _check_silent(model: keras.Model, operations: Sequence[tuple[str, str, str]]) -> None:
    for kind, _, name in operations:
        if graphs.is_stateless_draw(kind):
            raise UsageError(
                f"{layer_of(model, name)} draws at random outside training too ({kind}), "
                "so its outputs have no one value to measure or serve: draw only where the "
                "argument `training` of its call is true."
            )
