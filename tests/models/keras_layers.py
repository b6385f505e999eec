"""Every layer and activation of Keras in a small network with parameters before and behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import layers

from tests.models.functions import FUNCTIONS, PENALTIES, Penalty
from tests.models.picture_layers import RANDOM_PICTURES

Shape = tuple[int, ...]


class Case(NamedTuple):
    """make: the layer. shape: of one example. dtype: of the inputs; integers go to it directly."""

    make: Callable[[], Any]
    shape: Shape
    dtype: str = "float"


ROW, STEPS, IMAGE, VOLUME = (6,), (6, 4), (6, 6, 4), (4, 4, 4, 2)
PICTURE = (6, 6, 3)


def _cases(shape: Shape, **options: dict[str, Any]) -> dict[str, Case]:
    """A case for each name of a class in keras.layers, with these arguments."""
    return {
        name: Case(lambda name=name, given=given: getattr(layers, name)(**given), shape)
        for name, given in options.items()
    }


def _each_rank(name: str, **options: Any) -> dict[str, Case]:
    shapes = {"1D": STEPS, "2D": IMAGE, "3D": VOLUME}
    cases = {}
    for rank, shape in shapes.items():
        if hasattr(layers, name.format(rank)):
            cases |= _cases(shape, **{name.format(rank): options})
    return cases


class Twice(layers.Layer):
    """A layer of several inputs, given the same one twice, the second time squared."""

    def __init__(self, layer: layers.Layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        """Of [x, x^2]."""
        return self.layer([x, x * x])


def _merging(*names: str, **options: Any) -> dict[str, Case]:
    return {
        name: Case(lambda name=name: Twice(getattr(layers, name)(**options)), STEPS)
        for name in names
    }


class Queries(layers.Layer):
    """Attention of an input to itself."""

    def __init__(self, layer: layers.Layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        """Of (x, x)."""
        return self.layer(x, x)


def _cell(name: str) -> dict[str, Case]:
    return {name: Case(lambda: layers.RNN(getattr(layers, name)(3)), STEPS)}


CASES: dict[str, Case] = {
    **_cases(
        ROW,
        Activation={"activation": "tanh"},
        ActivityRegularization={"l2": 0.1},
        AlphaDropout={"rate": 0.3, "seed": 1},
        BatchNormalization={},
        Dense={"units": 3},
        Dropout={"rate": 0.3, "seed": 1},
        ELU={},
        Flatten={},
        GaussianDropout={"rate": 0.3, "seed": 1},
        GaussianNoise={"stddev": 0.3, "seed": 1},
        GroupNormalization={"groups": 2},
        Identity={},
        LayerNormalization={},
        LeakyReLU={},
        Normalization={"mean": 0.5, "variance": 2.0},
        PReLU={"alpha_initializer": "ones"},
        RMSNormalization={},
        ReLU={},
        RepeatVector={"n": 2},
        Rescaling={"scale": 0.5},
        Reshape={"target_shape": (2, 3)},
        Softmax={},
        UnitNormalization={},
    ),
    **_cases(
        STEPS,
        Cropping1D={},
        EinsumDense={"equation": "abc,cd->abd", "output_shape": (6, 3)},
        GRU={"units": 3},
        LSTM={"units": 3},
        Masking={},
        Permute={"dims": (2, 1)},
        SimpleRNN={"units": 3},
        STFTSpectrogram={"frame_length": 3, "frame_step": 1},
        ZeroPadding1D={},
    ),
    **_cases(
        IMAGE,
        Conv2DTranspose={"filters": 2, "kernel_size": 2, "strides": 2},
        DepthwiseConv2D={"kernel_size": 2},
        SeparableConv2D={"filters": 2, "kernel_size": 2},
        CenterCrop={"height": 3, "width": 3},
        Cropping2D={},
        ZeroPadding2D={},
        UpSampling2D={"interpolation": "bilinear"},
        Resizing={"height": 4, "width": 9, "interpolation": "bilinear"},
    ),
    **_cases(
        VOLUME,
        Conv3DTranspose={"filters": 2, "kernel_size": 2},
        Cropping3D={},
        UpSampling3D={},
        ZeroPadding3D={},
    ),
    **_cases(
        STEPS,
        Conv1DTranspose={"filters": 2, "kernel_size": 2},
        DepthwiseConv1D={"kernel_size": 2},
        SeparableConv1D={"filters": 2, "kernel_size": 2},
        UpSampling1D={},
    ),
    **_each_rank("AdaptiveAveragePooling{}", output_size=2),
    **_each_rank("AdaptiveMaxPooling{}", output_size=2),
    **_each_rank("AveragePooling{}", pool_size=2),
    **_each_rank("Conv{}", filters=2, kernel_size=2),
    **_each_rank("GlobalAveragePooling{}"),
    **_each_rank("GlobalMaxPooling{}"),
    **_each_rank("MaxPooling{}", pool_size=2),
    **_each_rank("SpatialDropout{}", rate=0.3, seed=1),
    "ConvLSTM1D": Case(lambda: layers.ConvLSTM1D(2, 2), (3, 4, 2)),
    "ConvLSTM2D": Case(lambda: layers.ConvLSTM2D(2, 2), (3, 4, 4, 2)),
    "ConvLSTM3D": Case(lambda: layers.ConvLSTM3D(2, 2), (2, 3, 3, 3, 2)),
    **_merging("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"),
    **_merging("Attention", "AdditiveAttention"),
    **_merging("Dot", axes=2),
    "MultiHeadAttention": Case(lambda: Queries(layers.MultiHeadAttention(2, 3)), STEPS),
    "GroupQueryAttention": Case(lambda: Queries(layers.GroupQueryAttention(3, 4, 2)), STEPS),
    **_cell("GRUCell"),
    **_cell("LSTMCell"),
    **_cell("SimpleRNNCell"),
    "RNN": Case(lambda: layers.RNN(layers.GRUCell(3), return_sequences=True), STEPS),
    "StackedRNNCells": Case(
        lambda: layers.RNN(layers.StackedRNNCells([layers.GRUCell(3), layers.LSTMCell(2)])), STEPS
    ),
    "Bidirectional": Case(lambda: layers.Bidirectional(layers.GRU(2)), STEPS),
    "TimeDistributed": Case(lambda: layers.TimeDistributed(layers.Dense(2)), STEPS),
    "Lambda": Case(lambda: layers.Lambda(keras.ops.sin), ROW),
    "Embedding": Case(lambda: layers.Embedding(5, 3), (4,), "int32"),
    "ReversibleEmbedding": Case(lambda: layers.ReversibleEmbedding(5, 3), (4,), "int32"),
    "CategoryEncoding": Case(lambda: layers.CategoryEncoding(5), (4,), "int32"),
    "Discretization": Case(lambda: layers.Discretization([1.0, 3.0]), (4,), "direct"),
    "MelSpectrogram": Case(
        lambda: layers.MelSpectrogram(fft_length=8, sequence_stride=4, num_mel_bins=4), (32,)
    ),
    "Hashing": Case(lambda: layers.Hashing(5), (4,), "int32"),
}
for _interpolation in ("nearest", "bicubic", "lanczos3", "lanczos5"):
    CASES |= {
        f"UpSampling2D {_interpolation}": Case(
            lambda kind=_interpolation: layers.UpSampling2D(interpolation=kind), IMAGE
        ),
        f"Resizing {_interpolation}": Case(
            lambda kind=_interpolation: layers.Resizing(4, 9, interpolation=kind), IMAGE
        ),
    }
CASES |= {
    name: Case(lambda name=name, given=given: getattr(layers, name)(**given), PICTURE, "picture")
    for name, given in RANDOM_PICTURES.items()
}
NOT_AN_ACTIVATION = ("deserialize", "get", "glu", "serialize", "threshold")
ACTIVATIONS = tuple(
    name
    for name in dir(keras.activations)
    if not name.startswith("_") and name not in NOT_AN_ACTIVATION
)
CASES |= {
    f"activation {name}": Case(lambda name=name: layers.Activation(name), ROW)
    for name in ACTIVATIONS
}

CASES["activation glu"] = Case(lambda: layers.Lambda(keras.activations.glu), ROW)
CASES["activation threshold"] = Case(
    lambda: layers.Activation(lambda x: keras.activations.threshold(x, 0.0, 0.5)), ROW
)

CASES |= {
    f"function {name}": Case(lambda f=f: layers.Lambda(f), ROW) for name, f in FUNCTIONS.items()
}
CASES |= {f"penalty {n}": Case(lambda f=f: Penalty(f), ROW) for n, f in PENALTIES.items()}

# No network of their own: what they wrap is another framework's, or nothing.
NOT_A_NETWORK = {
    "FlaxLayer",
    "InputLayer",
    "JaxLayer",
    "Layer",
    "MaxNumBoundingBoxes",
    "Pipeline",
    "TFSMLayer",
    "TorchModuleWrapper",
    "Wrapper",
}
# Refused, or of words: tests/models/test_refusals.py has them.
ELSEWHERE = {
    "HashedCrossing",
    "IntegerLookup",
    "SpectralNormalization",
    "StringLookup",
    "TextVectorization",
}


def network(case: Case) -> keras.Model:
    """Dense, the layer, Flatten, Dense; picture layers stand first, behind nothing learned."""
    dtype = None if case.dtype in ("float", "direct", "picture") else case.dtype
    inputs = keras.Input(case.shape, dtype=dtype, name="inputs")
    hidden = inputs
    if case.dtype == "float":
        hidden = layers.Dense(case.shape[-1], "tanh", name="before")(hidden)
    hidden = case.make()(hidden)
    hidden = layers.Flatten(name="flat")(hidden)
    return keras.Model(inputs, layers.Dense(2, name="behind")(hidden), name="network")
