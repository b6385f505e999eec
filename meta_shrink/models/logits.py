"""Whether a network gives logits, as cross entropy takes them, or what a softmax makes of them."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.models.outputs import check_one_output
from meta_shrink.models.refusals import example_specs, traced

LOSSES = ("cross_entropy", "sequence_cross_entropy")  # Of logits.
ONE_OUTPUT = (*LOSSES, "squared_error", "gaussian")
_SHAPED = ("Cast", "ExpandDims", "Identity", "Reshape", "Squeeze", "StopGradient", "Transpose")
_AVERAGED = ("AddN", "AddV2", "Mean", "Mul", "RealDiv")


def check_logits(model: keras.Model, loss: str) -> None:
    """The outputs of a model may be logits, if the loss of this name takes them; those of ours take
    one.

    Raises:
      UsageError: they are what a softmax or a sigmoid gives, in its last layer or before; or of
        check_one_output.
    """
    if loss in ONE_OUTPUT:
        check_one_output(model)

    def check(params: Any, call: Any, key: Any) -> None:
        for output in tf.nest.flatten(call(None).outputs):
            if is_probability(output):
                raise UsageError(
                    f"Model {model.name!r} gives probabilities ({output.op.name}); the loss "
                    f"{loss!r} takes logits: remove the activation of its last layer."
                )

    if loss in LOSSES and example_specs(model) is not None:
        traced(model, None, check)


def is_probability(tensor: tf.Tensor) -> bool:
    """Whether a tensor of a graph is what a softmax or a sigmoid gives, in whatever shape and type,
    or a mean of what softmaxes give."""
    operation = tensor.op
    if operation.type in ("Sigmoid", "Softmax"):
        return True
    if operation.type in _SHAPED:
        return is_probability(operation.inputs[0])
    parts = [x for x in operation.inputs if tf.get_static_value(x) is None]
    return operation.type in _AVERAGED and all(
        is_probability(x) and x.op.type != "Sigmoid" for x in parts
    )
