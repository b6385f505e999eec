"""Networks of different seeds share no random numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import keras
import numpy as np
import pytest

from meta_shrink.models import MODELS
from meta_shrink.models.seeds import first_seed
from meta_shrink.speech.features import FEATURES

SIZES = {
    "convnet": {"image_size": 16, "channels": 1, "classes": 16, "filters": 16, "blocks": 3},
    "mlp": {"inputs": 6, "hidden": [6, 6, 6], "outputs": 6},
    "prosody": {"inputs": 8, "points": 4, "hidden": [8, 8]},
    "wavenet": {"samples": 80, "frames": 1, "features": FEATURES, "channels": 2, "cycles": 1},
}
CASES: dict[str, Callable[[int], keras.Model]] = {
    name: lambda seed, name=name, own=own: MODELS[name](seed=seed, **own)
    for name, own in SIZES.items()
}


def drawn(model: keras.Model) -> list[np.ndarray]:
    """The first random numbers of each variable, by their ratios: scales differ with the shape."""
    values = [variable.numpy().ravel() for variable in model.trainable_variables]
    random = [value[:4] for value in values if len(np.unique(value[:4])) == 4]
    return [value / value[0] for value in random]


@pytest.mark.parametrize("name", CASES)
def test_neighbouring_seeds_share_no_layer(name):
    networks = [drawn(CASES[name](seed)) for seed in (0, 1, 2)]
    for one, other in itertools.combinations(networks, 2):
        assert len(one) > 1
        assert not any(np.allclose(a, b, rtol=1e-3) for a in one for b in other)


def test_seeds_fit_keras_whatever_the_seed():
    assert first_seed(0) == 0 and first_seed(1) > 1000
    assert all(0 <= first_seed(seed) < 2**31 for seed in (2**31 - 1, 2**22, 12345))
    CASES["mlp"](2**31 - 1)
