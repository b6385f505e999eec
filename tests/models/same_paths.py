"""Networks with models inside them whose layers are called like those outside."""

from __future__ import annotations

import keras

layers = keras.layers


def encoder(*parts: layers.Layer, name: str = "base") -> keras.Model:
    """A model of these layers, to be put into another one."""
    x = hidden = keras.Input((3,))
    for layer in parts:  # A Sequential would put its own name in front of theirs.
        hidden = layer(hidden)
    return keras.Model(x, hidden, name=name)


def frozen_base(*parts: layers.Layer, units: int = 3) -> keras.Model:
    """A frozen model of these layers, and a head whose layers are called `dense` and `bn`."""
    base, x = encoder(*parts), keras.Input((3,), name="x")
    base.trainable = False
    hidden = layers.BatchNormalization(name="bn")(base(x))
    return keras.Model(x, layers.Dense(units, name="dense")(hidden))


# Frozen layers with the paths of learned variables and of moments: of their shapes and of others.
FROZEN = {
    "as the head": lambda: frozen_base(layers.Dense(3, bias_initializer="ones", name="dense")),
    "of another shape": lambda: frozen_base(
        layers.Dense(7, bias_initializer="ones", name="dense"), layers.Dense(3, name="other")
    ),
    "a frozen normalisation": lambda: frozen_base(
        layers.BatchNormalization(
            beta_initializer="ones",
            moving_variance_initializer=keras.initializers.Constant(2.0),  # type: ignore[arg-type]
            name="bn",
        )
    ),
}


def siblings(*, learned: bool) -> keras.Model:
    """Two models inside, each with a normalisation `bn`, with a gamma and a beta or without."""
    x = keras.Input((3,), name="x")
    parts = [
        encoder(
            layers.Dense(3, name=f"{name}_dense"),
            layers.BatchNormalization(center=learned, scale=learned, name="bn"),
            name=name,
        )(x)
        for name in ("left", "right")
    ]
    return keras.Model(x, layers.Dense(1, name="out")(layers.Add()(parts)), name="pair")
