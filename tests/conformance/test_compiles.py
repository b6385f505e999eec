"""Every algorithm compiles under XLA on a Gaussian, the sinusoid network and a convolutional one.

One meta-step from a config, at the task axis that its experiments have; with and without XLA the
meta-parameters that come out are the same to 1e-3 of what the step moved them (float32; XLA has its
own order of sums and elementary functions). Compiling is slow: `make test` runs the
two cases that once failed, the rest is marked slow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import build
from meta_shrink.experiments.train import set_up
from meta_shrink.images.classes import from_counts
from meta_shrink.tasks import few_shot
from tests.tiny_runs import ALGORITHMS, tiny_config, values_of

THROUGH = ("maml", "sigma_maml", "meta_sgd")  # back-propagation: not vectorised under XLA
SGD = {"name": "sgd", "learning_rate": 1.0}  # Adam would make the same step of any gradient
NETWORKS: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "spiral": {
        "task": {"name": "gaussian", "mean": "spiral", "phi": [2.0] * 4, "sigma": [4.0] * 4,
                 "noise": [10.0] * 4, "num_train": 3, "num_val": 3},
        "model": {"name": "gaussian", "dimensions": 4, "mean": "spiral", "initial": 1.0},
        "loss": {"name": "gaussian", "reduction": "sum", "noise": [10.0] * 4},
    },
    "sinusoid": {
        "task": {"name": "sinusoid"},
        "model": {"name": "mlp", "hidden": [5]},
        "loss": {"name": "squared_error", "reduction": "mean"},
    },
    "stride": {},
    "pool": {},
}  # fmt: skip
for downsampling in ("stride", "pool"):
    NETWORKS[downsampling] = {
        "task": {"name": "omniglot_few_shot", "data_dir": "", "ways": 3, "shots": 1, "queries": 2,
                 "image_size": 8},
        "model": {"name": "convnet", "image_size": 8, "channels": 1, "classes": 3, "filters": 3,
                  "blocks": 1, "downsampling": downsampling},
        "loss": {"name": "cross_entropy", "reduction": "mean"},
        "modules": {"by": "layer"},
    }  # fmt: skip
QUICK = {("gaussian", "sigma_reptile"), ("stride", "sigma_maml")}


def noisy_omniglot(*_: object, **__: object):
    """As many characters and drawings as Omniglot's splits need, of random pixels."""
    alphabets, characters = 46, 21
    names = [f"alphabet_{a:02d}/{c}" for a in range(alphabets) for c in range(characters)]
    images = np.random.default_rng(0).integers(0, 256, [len(names) * 20, 8, 8, 1]).astype(np.uint8)
    groups = [name.partition("/")[0] for name in names]
    return from_counts(images, names, [20] * len(names), groups)


def config_of(network: str, algorithm: str, jit: bool) -> dict[str, Any]:
    config = tiny_config(algorithm) | NETWORKS[network]
    vectorized = network not in ("stride", "pool") and algorithm not in THROUGH
    config["meta_optimizer"] = dict.fromkeys(config["meta_optimizer"], SGD)
    config["adapt"] |= {"steps": 3, "learning_rate": 0.05}
    config["train"] |= {
        "task_axis": "vectorized" if vectorized else "sequential",
        "jit": "on" if jit else "off",
    }
    return config


def after_one_step(config: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(phi and what else is learned, how far the step moved it)."""
    training = set_up(build(config), tf.distribute.get_strategy())
    before = values_of(training)
    training.run(1)
    names = [n for n in before if n.partition(".")[0] in config["meta_optimizer"]]
    after = values_of(training)
    assert after["bad_steps"] == 0
    return {n: after[n] for n in names}, {n: after[n] - before[n] for n in names}


def cases():
    for network in NETWORKS:
        for algorithm in ALGORITHMS:
            slow = [] if (network, algorithm) in QUICK else [pytest.mark.slow]
            yield pytest.param(network, algorithm, marks=slow)


@pytest.mark.parametrize(("network", "algorithm"), list(cases()))
def test_every_algorithm_compiles(network, algorithm, monkeypatch):
    monkeypatch.setattr(few_shot, "read_omniglot", noisy_omniglot)
    found, _ = after_one_step(config_of(network, algorithm, jit=True))
    expected, moved = after_one_step(config_of(network, algorithm, jit=False))
    for name in expected:
        largest = np.abs(moved[name]).max()
        np.testing.assert_allclose(
            found[name], expected[name], rtol=0, atol=1e-3 * largest + 1e-6, err_msg=name
        )
    assert max(np.abs(values).max() for values in moved.values()) > 1e-4
