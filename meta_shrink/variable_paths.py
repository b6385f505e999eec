"""What a variable is called, in adapters and wherever modules are told apart."""

from __future__ import annotations

import keras


def relative_path(model: keras.Model, variable: keras.Variable) -> str:
    """The path of a variable without the model's name, which some models put in front."""
    prefix = f"{model.name}/"
    if not variable.path.startswith(prefix):
        return variable.path
    rest = variable.path.removeprefix(prefix)
    names = {layer.name for layer in model.layers}
    # A layer that is called like the model: its own name is not the model's.
    return rest if model.name not in names or rest.split("/")[0] in names else variable.path
