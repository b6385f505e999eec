"""Networks of voices with random weights, to measure serving: how fast is no question of training.

`speaker_source`: of the size of the paper's, 30 gated, dilated, causal layers of 128 channels, of
which 12 are task-specific: 0.79 million of 3 million parameters. `voice_source`: the network of
configs/speech.py:quick_*, which speaks.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from benchmarks.settings import config_of
from meta_shrink.adapters.backbone_info import ArraySpec, Recipe
from meta_shrink.backbones.source import ExportSource
from meta_shrink.losses import cross_entropy
from meta_shrink.models import MODELS
from meta_shrink.pitch import FRAMES_PER_SECOND
from meta_shrink.prior import BYTES_PER_PARAMETER, Selection
from meta_shrink.registry import ModuleRegistry
from meta_shrink.sections import named
from meta_shrink.speech.features import FEATURES_VERSION
from meta_shrink.types import MetaParams, Recordings

LAYERS, TASK_SPECIFIC, CHANNELS, LEVELS = 30, 12, 128, 256
RECIPE = Recipe(
    optimizer={"name": "proximal_adam"},
    steps=100,
    loss={"name": "cross_entropy"},
    metric="cross_entropy",
)


def wavenet() -> keras.Model:
    """[N, T, 1] samples -> [N, T, 256] logits."""
    wave = keras.Input((None, 1), name="wave")
    x = keras.layers.Conv1D(CHANNELS, 1, name="front")(wave)
    for number in range(LAYERS):
        both = keras.layers.Conv1D(
            2 * CHANNELS,
            2,
            padding="causal",
            dilation_rate=2 ** (number % 10),
            name=f"dilated_{number:02}",
        )(x)
        gate, signal = both[..., :CHANNELS], both[..., CHANNELS:]
        gated = keras.layers.Multiply()(
            [keras.layers.Activation("sigmoid")(gate), keras.layers.Activation("tanh")(signal)]
        )
        x = x + keras.layers.Conv1D(CHANNELS, 1, name=f"residual_{number:02}")(gated)
    return keras.Model(wave, keras.layers.Conv1D(LEVELS, 1, name="logits")(x), name="speaker")


def speaker_source() -> ExportSource:
    """The network with random weights, the last 12 of its dilated layers task-specific."""
    keras.utils.set_random_seed(0)
    model = wavenet()
    registry = ModuleRegistry.by_layer(model)
    names = [n for n in registry.names if n.startswith("dilated")][-TASK_SPECIFIC:]
    return _untrained_source(
        model,
        registry,
        names,
        name="speaker",
        example_loss=lambda targets, outputs: tf.reduce_mean(
            cross_entropy()(targets, outputs), axis=-1
        ),
        targets=ArraySpec("targets", (None,), "int32"),
        adaptation=RECIPE,
        probe_range=(-1.0, 1.0),
    )


def _untrained_source(
    model: keras.Model, registry: ModuleRegistry, selected: Sequence[str], **own: Any
) -> ExportSource:
    """Of the network as it is, these modules a speaker's own."""
    return ExportSource(
        algorithm="none",
        model=model,
        registry=registry,
        meta=untrained(model, registry),
        state=[],
        selection=selection_of(registry, selected),
        **own,
    )


def voice_source(**options: int) -> ExportSource:
    """The network of configs/speech.py with its first weights; the 12 dilated layers in its middle,
    of blocks 10 to 21, are a speaker's own.

    options: of the config's model, instead of its own.
    """
    config = config_of("speech", "quick_sigma_reptile").to_dict()
    sizes = config["model"] | options
    model = named("model", MODELS, sizes, seed=config["seed"])
    registry, task = ModuleRegistry.by_layer(model), config["task"]
    dilated = [name for name in registry.names if name.endswith("_dilated")]
    middle = dilated[10 : 10 + TASK_SPECIFIC] or dilated
    rate = sizes["samples"] // sizes["frames"] * FRAMES_PER_SECOND
    told = Recordings(rate, task["crop_frames"], task["context_frames"], FEATURES_VERSION)
    return _untrained_source(
        model,
        registry,
        middle,
        name="voices",
        example_loss=cross_entropy(),
        targets=ArraySpec("targets", (sizes["samples"],), "int32"),
        weights=(sizes["samples"],),
        adaptation=replace(RECIPE, recordings=told._asdict()),
        probe_range=(-1.0, 1.0),
        probe_integers=LEVELS,
    )


def untrained(model: keras.Model, registry: ModuleRegistry) -> MetaParams:
    """The model's own weights, one variance for all modules."""
    count = registry.num_modules
    phi = [tf.constant(v.numpy()) for v in model.trainable_variables]
    return MetaParams(phi, tf.zeros([count]), tf.fill([count], -6.0))


def selection_of(registry: ModuleRegistry, names: Sequence[str]) -> Selection:
    """The modules of these names."""
    size = sum(registry.sizes[registry.position(name)] for name in names)
    share = size / sum(registry.sizes)
    return Selection("named", 0.0, tuple(names), share, size * BYTES_PER_PARAMETER)
