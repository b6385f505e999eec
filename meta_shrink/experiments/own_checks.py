"""What a network of the user's may get wrong and ours do not, before it is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from meta_shrink.adaptation import NextBatch
from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.adapters.encodings import SCALE
from meta_shrink.adapters.header import MAX_NAME_LENGTH, MAX_RANK
from meta_shrink.backbones.source import refuse_clashes, tensors_of
from meta_shrink.errors import UsageError, one_line
from meta_shrink.models.call_refusals import check_calls
from meta_shrink.models.length_refusals import check_lengths
from meta_shrink.models.mode_refusals import check_modes
from meta_shrink.models.row_refusals import check_rows
from meta_shrink.registry import ModuleRegistry
from meta_shrink.rng import root_key
from meta_shrink.types import TaskSource, batch_parts

TASKS, OF_EACH = 4, 2  # A task may have one example, and two draws may be one task.


def check_own_model(model: keras.Model, source: TaskSource, next_batch: NextBatch) -> None:
    """The network learns float32, can be called again, and computes each example by itself, in
    training mode as in inference, and whatever its length: tried on some of meta-training tasks.

    Raises:
      UsageError: it does not; the sentence names the layer.
    """
    for variable in model.trainable_variables:
        if variable.dtype != "float32":
            raise UsageError(
                f"{variable.path} is {variable.dtype}, and all that is learned is float32: make "
                "its layer with dtype='float32', or freeze it."
            )

    @tf.function(autograph=False)
    def some(key: tf.Tensor):
        inputs = batch_parts(next_batch(source.sample(key), tf.constant(0)))[0]
        return tf.nest.map_structure(lambda x: x[:OF_EACH], inputs)

    parts = [some(root_key(number, "rows")) for number in range(TASKS)]
    rows = tf.nest.map_structure(lambda *x: tf.concat(x, 0), *parts)
    check_calls(model, rows)
    check_rows(model, rows)
    check_modes(model, rows)
    check_lengths(model, rows)


def check_names(model: keras.Model, specs: Sequence[ArraySpec]) -> None:
    """Exports and adapter files can hold the model by its names, whatever is task-specific.

    Args:
      specs: of its inputs and targets.

    Raises:
      UsageError: they cannot.
    """
    registry = ModuleRegistry.by_layer(model)
    tensors = tensors_of(model, registry, registry.names)
    refuse_clashes([*specs, *tensors])
    longest = MAX_NAME_LENGTH - len(SCALE)
    for tensor in tensors:
        shown = one_line(tensor.name[:40])
        if len(tensor.name) > longest or not tensor.name.isprintable():
            raise UsageError(
                f"No adapter file can hold {shown}..., whose name has {len(tensor.name)} "
                f"characters: give its layer a name of printable ones, with its path {longest} at "
                "most."
            )
        if len(tensor.shape) > MAX_RANK:
            raise UsageError(
                f"No adapter file can hold {shown}, which has {len(tensor.shape)} axes: make it "
                f"with {MAX_RANK} at most, and reshape it in the call."
            )


def tell_unused(model: keras.Model, loss: str, log: Callable[[str], Any]) -> None:
    """What Keras's own fit would train the model by, if it is there."""
    methods = ("train_step", "compute_loss")
    own = [x for x in methods if getattr(type(model), x) is not getattr(keras.Model, x)]
    if getattr(model, "compiled", False) and getattr(model, "loss", None) is not None:
        own.append("compiled loss")
    if own:
        log(f"Not used: the model's own {', '.join(own)}; it learns by loss={loss!r} alone.")
