"""What a config records of a user's own model and tasks, so that a run goes on with the same."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.adapters.canonical_json import canonical, sha256
from meta_shrink.backbones.source import model_inputs
from meta_shrink.errors import UsageError
from meta_shrink.experiments.components import OWN
from meta_shrink.keras_model import flat_layers
from meta_shrink.models.pure_call import pure_call
from meta_shrink.registry import ModuleRegistry
from meta_shrink.runs.workdir import read_config
from meta_shrink.tasks.arrays import Shares
from meta_shrink.tasks.data_digest import digest
from meta_shrink.tasks.example_arrays import TARGETS, TaskExamples, fitted

ASKED = 8  # examples
DRAWS = 4  # of what is learned: one may leave an activation where it does nothing
NUMBERS = 8  # of an answer
TOLERANCE = 5e-3  # of all answers' norm, between processors and versions of TensorFlow


def described(
    model: keras.Model, tasks: Mapping[str, TaskExamples], shares: Shares
) -> dict[str, Any]:
    """The sections of a config for these, by their hashes."""
    return {
        "task": {"name": OWN, **shares._asdict(), "sha256": _digest(tasks)},
        "model": {"name": OWN, "layers": layers_of(model)},
    }


def layers_of(model: keras.Model) -> str:
    """A hash of the names, shapes and types of a model's layers."""
    registry = ModuleRegistry.by_layer(model)
    facts = [
        [path, list(shape)] for path, shape in zip(registry.paths, registry.shapes, strict=True)
    ]
    return sha256(canonical([facts, [type(layer).__name__ for layer in flat_layers(model)]]))


def _digest(tasks: Mapping[str, TaskExamples]) -> str:
    return digest(
        ([name, key], part[key])
        for name in sorted(tasks)
        for part in tasks[name]
        for key in sorted(part)
    )


def answers_of(
    model: keras.Model, tasks: Mapping[str, TaskExamples], specs: Sequence[ArraySpec]
) -> list[float]:
    """What the network computes of a few examples with fixed numbers for what it learns: some
    numbers of each output and penalty, without noise and with one.

    What is not learned counts as it is: activations, connections, rates, frozen weights. Where phi
    starts does not.
    """
    name = min(tasks)
    inputs = fitted(tasks[name].train, specs, name)
    few = {key: tf.constant(x[:ASKED]) for key, x in inputs.items() if key != TARGETS}
    few = model_inputs(model, few)
    state = [tf.convert_to_tensor(v.value) for v in model.non_trainable_variables]
    found: list[float] = []
    for draw in range(DRAWS):
        params = _fixed(model, np.random.default_rng(draw))
        for key in (None, tf.constant([0, draw])):
            called = pure_call(model, params, state, few, key=key)
            for value in [*tf.nest.flatten(called.outputs), *called.penalties]:
                numbers = np.ravel(tf.cast(value, tf.float64))
                found += numbers[:: math.ceil(numbers.size / NUMBERS)].tolist()
    return np.nan_to_num(found).tolist()


def _fixed(model: keras.Model, rng: np.random.Generator) -> list[tf.Tensor]:
    """Numbers of a size that neither grows nor fades from layer to layer."""
    return [
        tf.cast(rng.normal(size=v.shape) / math.sqrt(max(1, math.prod(v.shape[:-1]))), v.dtype)
        for v in model.trainable_variables
    ]


def refuse_another(workdir: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
    """A workdir of another model or other data, told in words."""
    recorded = _recorded(workdir)
    for section, key, what in (("model", "layers", "model"), ("task", "sha256", "data")):
        if recorded and recorded.get(section, {}).get(key) != config[section][key]:
            raise UsageError(
                f"The workdir {workdir} was made with another {what}; choose another workdir. (A "
                "model is the same if its layers have the same names and shapes: name every layer.)"
            )


def same_answers(workdir: str | os.PathLike[str], answers: list[float]) -> list[float]:
    """The recorded answers of a workdir, where there are some; these are alike.

    Raises:
      UsageError: they are not: the run was made with a model that computes otherwise.
    """
    recorded = _recorded(workdir).get("model", {})
    if "answers" not in recorded:
        return answers
    if not _alike(recorded["answers"], answers):
        raise UsageError(
            f"The workdir {workdir} was made with a model of the same layers that computes "
            "otherwise (another activation, connection, rate, or other weights in what does not "
            "learn, which are part of no checkpoint): make the same model, or choose another "
            "workdir."
        )
    return recorded["answers"]


def _alike(recorded: Any, answers: list[float]) -> bool:
    if not isinstance(recorded, list) or len(recorded) != len(answers):
        return False
    distance = np.linalg.norm(np.subtract(recorded, answers))
    return bool(distance <= TOLERANCE * np.linalg.norm(answers))


def _recorded(workdir: str | os.PathLike[str]) -> Mapping[str, Any]:
    there = os.path.exists(os.path.join(workdir, "config.json"))
    return read_config(workdir) if there else {}
