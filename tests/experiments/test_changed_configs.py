"""A run that goes on with another config does what the new one says, or says what it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from configs import common
from meta_shrink import build, open_workdir, train
from meta_shrink.experiments.train import Training
from tests.tiny_runs import tiny_config

SHORT: dict[str, Any] = {"train.steps": 4, "train.eval_every": 0}
RATE = {"meta_optimizer.phi": common.adam(0.05)}


def run(folder, said: list[str], algorithm: str, **changes: Any) -> Training:
    experiment = build(tiny_config(algorithm, SHORT | RATE | changes))
    how = {"allow_config_change": True, "log": said.append}
    with open_workdir(str(folder), experiment.config, **how) as workdir:
        return train(experiment, workdir, log=said.append)


def facts(training: Training) -> tuple[np.ndarray, np.ndarray, float]:
    """sigma^2, task rates, the meta-rate of phi."""
    meta = training.state.meta()
    rates = training.state.learning_rates()
    return np.exp(meta.log_sigma2), np.exp(np.ravel(meta.log_alpha)), rates["phi"]


@pytest.mark.parametrize("more", [4, 6])  # No meta-step more, or two.
def test_what_is_not_learned_is_what_the_new_config_says(tmp_path, more):
    said: list[str] = []
    run(tmp_path, said, "imaml")
    changes: dict[str, Any] = {"adapt.learning_rate": 1e-3, "prior.sigma2": 50.0}
    changes |= {"meta_optimizer.phi": common.adam(1e-6), "train.steps": more}
    sigma2, rates, phi_rate = facts(run(tmp_path, said, "imaml", **changes))
    np.testing.assert_allclose(sigma2, 50.0, rtol=1e-6)
    np.testing.assert_allclose(rates, 1e-3, rtol=1e-6)
    assert phi_rate == pytest.approx(1e-6)
    assert not any("where training starts" in line for line in said)


def test_what_is_learned_stays_as_it_was_and_that_is_said(tmp_path):
    said: list[str] = []
    learned, _, _ = facts(run(tmp_path, said, "sigma_reptile"))
    changes = {"prior.sigma2": 50.0, "adapt.learning_rate": 0.01}
    sigma2, rates, _ = facts(run(tmp_path, said, "sigma_reptile", **changes))
    np.testing.assert_array_equal(sigma2, learned)
    np.testing.assert_allclose(rates, 0.01, rtol=1e-6)
    (told,) = (line for line in said if "where training starts" in line)
    assert told.startswith("prior.sigma2 said")


def test_variances_that_were_learned_can_be_frozen(tmp_path):
    said: list[str] = []
    learned, _, _ = facts(run(tmp_path, said, "sigma_reptile"))
    frozen = {"meta_optimizer.log_sigma2": None, "train.steps": 6}
    sigma2, _, _ = facts(run(tmp_path, said, "sigma_reptile", **frozen))
    np.testing.assert_array_equal(sigma2, learned)
