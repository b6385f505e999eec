"""The PyTorch WaveNet of benchmarks/speech_cost.py computes what ours does."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import speech_cost
from meta_shrink import ModuleRegistry
from meta_shrink.models import wavenet

REASON = "PyTorch is not installed (benchmarks/speech_cost.py): the benchmark's peer is not checked"


def test_logits_are_those_of_the_peer():
    torch = pytest.importorskip("torch", reason=REASON)
    from benchmarks.peers import wavenet_torch  # Needs PyTorch.

    codes, features, *_ = speech_cost.piece()
    codes, features = codes[:, : 20 * 80], features[:, :20]
    model = wavenet(seed=3, samples=1600, frames=20, features=126, channels=4, cycles=3)
    for variable in model.trainable_variables:
        variable.assign(tf.random.stateless_normal(variable.shape, [1, 2], stddev=0.3))
    paths = ModuleRegistry.by_layer(model).paths
    values = {p: v.numpy() for p, v in zip(paths, model.trainable_variables, strict=True)}
    network = wavenet_torch.with_parameters(wavenet_torch.WaveNet(126, 4, 3), values)
    told = torch.tensor(features).transpose(1, 2)
    with torch.no_grad():
        theirs = network(torch.tensor(codes).long(), told).numpy().transpose(0, 2, 1)
    ours = model([codes, features]).numpy()
    np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-3 * np.abs(ours).max())


def test_cached_sampling_of_the_peer_is_its_network():
    torch = pytest.importorskip("torch", reason=REASON)
    from benchmarks.peers import wavenet_torch  # Needs PyTorch.

    torch.manual_seed(0)
    network = wavenet_torch.WaveNet(6, 4, 1)
    codes = torch.randint(0, 256, [2, 24])
    told = torch.randn(2, 6, 3)
    spoken, logits = wavenet_torch.speak(network, told, codes, hop=8)
    assert torch.equal(spoken, codes)
    before = torch.cat([torch.full([2, 1], 128), codes[:, :-1]], 1)
    with torch.no_grad():
        whole = network(before, told).transpose(1, 2)
    torch.testing.assert_close(logits, whole, atol=1e-5, rtol=1e-5)
    drawn, _ = wavenet_torch.speak(network, told, torch.full([2, 24], -1), hop=8)
    assert drawn.min() >= 0 and drawn.max() < 256
