"""Whether a network gives the one tensor that our losses compare with the targets."""

from __future__ import annotations

import keras

from meta_shrink.errors import UsageError


def check_one_output(model: keras.Model) -> None:
    """A model that tells its outputs has one, and by itself.

    Raises:
      UsageError: there are several, or it stands in a dict or in a list inside of a list.
    """
    outputs = getattr(model, "outputs", None)
    if not outputs:
        return
    if len(outputs) != 1:
        raise UsageError(
            f"Model {model.name!r} has {len(outputs)} outputs; the loss takes one: join them "
            "with keras.layers.Concatenate, or make a keras.Model of one of them."
        )
    structure = getattr(model, "_outputs_struct", outputs[0])
    if structure is not outputs[0] and keras.tree.is_nested(structure):
        raise UsageError(
            f"Model {model.name!r} gives its output inside of a {type(structure).__name__}; the "
            "loss takes it by itself: keras.Model(model.inputs, model.outputs[0])."
        )
