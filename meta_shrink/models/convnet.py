"""The four-block convolutional networks of the image experiments (App. E.1, E.4)."""

from __future__ import annotations

from typing import Any

import keras

from meta_shrink.errors import UsageError
from meta_shrink.models.layers import BatchNorm, MaxPool2x2
from meta_shrink.models.seeds import first_seed

DOWNSAMPLING = ("stride", "pool")
PRECISIONS = ("float32", "bfloat16")


def convnet(
    *,
    seed: int,
    image_size: int,
    channels: int,
    classes: int,
    filters: int = 64,
    blocks: int = 4,
    downsampling: str = "stride",
    precision: str = "float32",
    pixel_max: float = 255.0,
) -> keras.Model:
    """Blocks of [3x3 convolution, batch norm, ReLU] and a linear layer: [N,S,S,C] -> [N, classes].

    Layers are called conv_0, bn_0, ..., output, as the modules of Fig. 2: with 4 blocks, 9 modules.

    Args:
      seed: of the initial weights (Glorot uniform); biases start at 0.
      image_size, channels: S and C of the images.
      classes: ways of a task.
      filters: of every convolution (64; 32 for miniImageNet).
      blocks: number of blocks.
      downsampling: "stride" (2, few-shot Omniglot) or "pool" (stride 1 and 2x2 max-pooling at the
        end of a block, augmented Omniglot and miniImageNet).
      precision: of the convolutions, "float32" or "bfloat16" (products of bfloat16 numbers, summed
        in float32); parameters, batch norm and the linear layer are float32.
      pixel_max: images are divided by it; 255 for the raw images of the task sources.

    Raises:
      UsageError: a size below 1, unknown downsampling or precision, or images too small for the
        blocks.
    """
    _check(image_size, channels, classes, filters, blocks, downsampling, precision)
    seed = first_seed(seed)
    inputs = keras.Input((image_size, image_size, channels), name="images")
    features = keras.layers.Rescaling(1 / pixel_max, name="rescale")(inputs)
    for number in range(blocks):
        convolution = _convolution(number, seed + number, filters, downsampling, precision)
        features = _block(features, number, convolution, downsampling)
    features = keras.layers.Flatten(name="flatten")(features)
    weights: Any = keras.initializers.GlorotUniform(seed=seed + blocks)
    outputs = keras.layers.Dense(classes, kernel_initializer=weights, name="output")(features)
    return keras.Model(inputs, outputs, name="convnet")


def _check(image_size, channels, classes, filters, blocks, downsampling, precision):
    if min(image_size, channels, classes, filters, blocks) < 1:
        raise UsageError(
            f"model got image_size={image_size}, channels={channels}, classes={classes}, "
            f"filters={filters}, blocks={blocks}; expected positive sizes."
        )
    if downsampling not in DOWNSAMPLING or precision not in PRECISIONS:
        raise UsageError(
            f"model got downsampling={downsampling!r}, precision={precision!r}; expected one of "
            f"{', '.join(DOWNSAMPLING)} and one of {', '.join(PRECISIONS)}."
        )
    if downsampling == "pool" and image_size < 2**blocks:
        raise UsageError(
            f"model.image_size={image_size} is too small for model.blocks={blocks} poolings."
        )


def _convolution(number: int, seed: int, filters: int, downsampling: str, precision: str):
    weights: Any = keras.initializers.GlorotUniform(seed=seed)
    # In float32 the layer follows Keras's own policy, which tests set to float64.
    dtype = None if precision == "float32" else f"mixed_{precision}"
    return keras.layers.Conv2D(
        filters,
        3,
        strides=2 if downsampling == "stride" else 1,
        padding="same",
        kernel_initializer=weights,
        dtype=dtype,
        name=f"conv_{number}",
    )


def _block(features, number: int, convolution: keras.layers.Layer, downsampling: str):
    features = BatchNorm(name=f"bn_{number}")(convolution(features))
    features = keras.layers.ReLU(name=f"relu_{number}")(features)
    return MaxPool2x2(name=f"pool_{number}")(features) if downsampling == "pool" else features
