"""The speed benchmark compares equal work: one meta-gradient of ours against that of each peer."""

import importlib

import numpy as np
import pytest

from benchmarks import ours_sinusoid
from benchmarks.peers import workload

REASON = "{} is not installed (requirements/bench.in): the benchmark's peer cannot be checked"


@pytest.mark.parametrize("cg_steps", [1, 3])
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_meta_gradient_equals_that_of_the_peer(framework, cg_steps):
    pytest.importorskip(framework, reason=REASON.format(framework))
    peer = importlib.import_module(f"benchmarks.peers.sinusoid_{framework}")
    phi, _ = workload.initial_meta_params(seed=1)
    # Strong enough a prior for a positive definite Hessian: ours stops on negative curvature.
    log_sigma2 = np.linspace(-6.0, -4.0, len(phi)).astype(np.float32)
    data = workload.sample_tasks(seed=2)

    ours_phi, ours_log_sigma2 = ours_sinusoid.meta_gradient(
        phi, log_sigma2, *data, cg_steps=cg_steps
    )
    peer_phi, peer_log_sigma2 = peer.meta_gradient(phi, log_sigma2, *data, cg_steps=cg_steps)

    for ours, theirs in zip(ours_phi, peer_phi, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5 * np.abs(theirs).max())
    scale = np.abs(peer_log_sigma2).max()
    np.testing.assert_allclose(ours_log_sigma2, peer_log_sigma2, rtol=2e-4, atol=1e-5 * scale)


def test_a_meta_step_of_the_benchmark_moves_phi_by_the_peers_rates():
    config = ours_sinusoid.config_of(num_tasks=5, num_steps=100, num_points=10, cg_steps=1)
    rates = [config["meta_optimizer"][name]["learning_rate"] for name in ("phi", "log_sigma2")]
    assert rates == [workload.PHI_LEARNING_RATE, workload.LOG_SIGMA2_LEARNING_RATE]
    assert config["train"]["clip_norm"] == 0.0
    assert config["adapt"]["optimizer"] == "proximal_gd"
