"""Builders of keras.Model: MODELS[name](*, seed, ...) -> a built model, every layer named."""

from meta_shrink.models.convnet import convnet
from meta_shrink.models.gaussian import gaussian
from meta_shrink.models.mlp import mlp
from meta_shrink.models.prosody import prosody
from meta_shrink.models.wavenet import wavenet

MODELS = {
    "convnet": convnet,
    "gaussian": gaussian,
    "mlp": mlp,
    "prosody": prosody,
    "wavenet": wavenet,
}

__all__ = ["MODELS", "convnet", "gaussian", "mlp", "prosody", "wavenet"]
