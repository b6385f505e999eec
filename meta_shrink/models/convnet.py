"""The four-block convolutional networks of the image experiments (App. E.1, E.4)."""

from __future__ import annotations

from typing import Any

import keras

from meta_shrink.errors import UsageError
from meta_shrink.models.layers import MaxPool2x2

DOWNSAMPLING = ("stride", "pool")


def convnet(
    *,
    seed: int,
    image_size: int,
    channels: int,
    classes: int,
    filters: int = 64,
    blocks: int = 4,
    downsampling: str = "stride",
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

    Raises:
      UsageError: a size below 1, unknown downsampling, or images too small for the blocks.
    """
    smallest = image_size / 2**blocks
    if min(image_size, channels, classes, filters, blocks) < 1 or downsampling not in DOWNSAMPLING:
        raise UsageError(
            f"model got image_size={image_size}, channels={channels}, classes={classes}, "
            f"filters={filters}, blocks={blocks}, downsampling={downsampling!r}; expected positive "
            f"sizes and a downsampling of {', '.join(DOWNSAMPLING)}."
        )
    if downsampling == "pool" and smallest < 1:
        raise UsageError(
            f"model.image_size={image_size} is too small for model.blocks={blocks} poolings."
        )
    inputs = keras.Input((image_size, image_size, channels), name="images")
    features = inputs
    for number in range(blocks):
        features = _block(features, number, seed + number, filters, downsampling)
    features = keras.layers.Flatten(name="flatten")(features)
    weights: Any = keras.initializers.GlorotUniform(seed=seed + blocks)
    outputs = keras.layers.Dense(classes, kernel_initializer=weights, name="output")(features)
    return keras.Model(inputs, outputs, name="convnet")


def _block(features, number: int, seed: int, filters: int, downsampling: str):
    strides = 2 if downsampling == "stride" else 1
    weights: Any = keras.initializers.GlorotUniform(seed=seed)
    features = keras.layers.Conv2D(
        filters,
        3,
        strides=strides,
        padding="same",
        kernel_initializer=weights,
        name=f"conv_{number}",
    )(features)
    features = keras.layers.BatchNormalization(name=f"bn_{number}")(features)
    features = keras.layers.ReLU(name=f"relu_{number}")(features)
    return MaxPool2x2(name=f"pool_{number}")(features) if downsampling == "pool" else features
