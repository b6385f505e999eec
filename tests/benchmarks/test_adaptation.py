"""The adaptation benchmark compares equal work: our proximal steps against those of each peer."""

import importlib

import numpy as np
import pytest

from benchmarks import ours_adaptation
from benchmarks.peers import adaptation_workload as workload

REASON = "{} is not installed (benchmarks/adaptation.py): the benchmark's peer cannot be checked"
PEERS = {
    "torch": ("torch", {}),
    "torch channels_last": ("torch", {"channels_last": True}),
    "learn2learn": ("learn2learn", {}),
}


def moved(adapted, phi):
    return [theta - start for theta, start in zip(adapted, phi, strict=True)]


def error(ours, theirs):
    """Euclidean distance over all parameters, relative to theirs."""
    difference = sum(np.sum((a - b) ** 2) for a, b in zip(ours, theirs, strict=True))
    return np.sqrt(difference / sum(np.sum(b**2) for b in theirs))


@pytest.mark.parametrize("num_steps", [1, 2])
@pytest.mark.parametrize("name", PEERS)
def test_adaptation_equals_that_of_the_peer(name, num_steps):
    """On the best of three data: where rounding moves a maximum of the pooling, steps differ."""
    framework, options = PEERS[name]
    pytest.importorskip("torch", reason=REASON.format("torch"))
    pytest.importorskip(framework, reason=REASON.format(framework))
    peer = importlib.import_module(f"benchmarks.peers.adaptation_{framework}")
    # learn2learn has no proximal step: no prior for it. A strong one otherwise, so that it counts.
    sigma2 = np.inf if framework == "learn2learn" else 0.1
    if np.isfinite(sigma2):
        options = options | {"sigma2": sigma2}

    errors = []
    for seed in range(3):
        phi = workload.initial_params(seed)
        images, labels = (x[0] for x in workload.sample_tasks(1, num_batches=2, seed=seed))
        ours = ours_adaptation.adapt(phi, images, labels, num_steps=num_steps, sigma2=sigma2)
        theirs = peer.adapt(phi, images, labels, num_steps=num_steps, **options)
        errors.append(error(moved(ours, phi), moved(theirs, phi)))

    assert min(errors) < (1e-4 if num_steps == 1 else 1e-3)


def test_flops_of_a_step_are_those_of_its_convolutions():
    """Per image, forward: 9 x in x out multiply-adds at 28^2, 14^2, 7^2 and 3^2 positions."""
    forward = [2 * 9 * 64 * 28**2, *(2 * 9 * 64 * 64 * size**2 for size in (14, 7, 3))]
    linear = 2 * 64 * 20
    expected = 2 * forward[0] + 3 * (sum(forward[1:]) + linear)
    assert workload.step_flops(batch_size=1) == expected
    assert workload.step_flops() == 20 * expected
