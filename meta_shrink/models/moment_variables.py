"""The moments of batch normalisations, which every adapter has, among a model's variables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras

from meta_shrink.errors import UsageError
from meta_shrink.models.pure_call import batch_norms
from meta_shrink.variable_paths import relative_path


def moment_variables(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """(path, variable) of the moments of every batch normalisation, in network order.

    Those of a frozen one are left out, as its gamma and beta are: they are alike for all tasks.
    """
    owned = {
        id(variable)
        for layer in batch_norms(model)
        if layer.trainable and layer.built
        for variable in (layer.moving_mean, layer.moving_variance)
    }
    return [
        (relative_path(model, variable), variable)
        for variable in model.non_trainable_variables
        if id(variable) in owned
    ]


def moments_by_path(model: keras.Model, state: Sequence[Any]) -> dict[str, Any]:
    """The moments among the values of a model's non-trainable variables.

    By variable and not by path: something frozen in a model inside may be called like a moment.
    """
    paths = {id(variable): path for path, variable in moment_variables(model)}
    pairs = zip(model.non_trainable_variables, state, strict=True)
    return {paths[id(v)]: value for v, value in pairs if id(v) in paths}


def check_paths(model: keras.Model) -> None:
    """Adapters hold what learns and the moments by their paths, so each has one of its own.

    Raises:
      UsageError: two share one.
    """
    learned = [relative_path(model, variable) for variable in model.trainable_variables]
    counts = Counter([*learned, *(path for path, _ in moment_variables(model))])
    if shared := [path for path, count in counts.items() if count > 1]:
        raise UsageError(
            f"Several layers of model {model.name!r} learn or keep moments in {shared[0]}: give "
            "the layers distinct names, those of models inside it too."
        )
