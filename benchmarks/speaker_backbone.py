"""A backbone of the size of a speaker-adaptive WaveNet, with random weights, to measure serving.

    python -m benchmarks.speaker_backbone --out=backbones/speaker

30 gated, dilated, causal layers of 128 channels, of which 12 are task-specific: 0.79 million of 3
million parameters, 1.6 MB an adapter in f16.
"""

import keras
import tensorflow as tf
from absl import app, flags

from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.backbones.source import ExportSource
from meta_shrink.backbones.writing import save_backbone
from meta_shrink.losses import cross_entropy
from meta_shrink.prior import BYTES_PER_PARAMETER, Selection
from meta_shrink.registry import ModuleRegistry
from meta_shrink.types import MetaParams

OUT = flags.DEFINE_string("out", None, "Folder of the backbone's versions.", required=True)
LAYERS, TASK_SPECIFIC, CHANNELS, LEVELS = 30, 12, 128, 256
RECIPE = {
    "loss": {"name": "cross_entropy"},
    "metric": "cross_entropy",
    "reduction": "mean",
    "optimizer": {"name": "proximal_adam"},
    "steps": 100,
    "batch_size": 0,
    "augment": {},
}


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


def main(argv):
    """Export; see the module's docstring."""
    del argv
    keras.utils.set_random_seed(0)
    model = wavenet()
    registry = ModuleRegistry.by_layer(model)
    names = [n for n in registry.names if n.startswith("dilated")][-TASK_SPECIFIC:]
    size = sum(registry.sizes[registry.position(name)] for name in names)
    count = registry.num_modules
    save_backbone(
        ExportSource(
            name="speaker",
            algorithm="none",
            model=model,
            registry=registry,
            meta=MetaParams(
                [tf.constant(v.numpy()) for v in model.trainable_variables],
                tf.zeros([count]),
                tf.fill([count], -6.0),
            ),
            state=[],
            selection=Selection(
                "named", 0.0, tuple(names), size / sum(registry.sizes), size * BYTES_PER_PARAMETER
            ),
            example_loss=lambda targets, outputs: tf.reduce_mean(
                cross_entropy()(targets, outputs), axis=-1
            ),
            targets=ArraySpec("targets", (None,), "int32"),
            adaptation=RECIPE,
            probe_range=(-1.0, 1.0),
        ),
        OUT.value,
    )
    print(f"{OUT.value}: {size:,} of {sum(registry.sizes):,} parameters are task-specific.")


if __name__ == "__main__":
    app.run(main)
