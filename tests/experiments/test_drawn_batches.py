"""Tasks whose mini-batches are drawn from data that are no batch."""

from __future__ import annotations

import pytest
import tensorflow as tf

from meta_shrink import UsageError, build
from meta_shrink.tasks import TASKS
from tests.tiny_runs import ALGORITHMS, tiny_config

SIZE = 2
GAUSSIAN = TASKS["gaussian"]


def recordings(**options):
    """The Gaussian tasks, whose training data are now a dict with a draw of their first rows."""
    plain = GAUSSIAN(**options)

    def told(draw):
        def task(key):
            found = draw(key)
            return found._replace(train={"rows": found.train[0], "unused": tf.zeros([7, 1])})

        return task

    def draw(key, data, size):
        del key
        return data["rows"][:size], data["rows"][:size]

    return plain._replace(sample=told(plain.sample), heldout=told(plain.heldout), draw=draw)


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setitem(TASKS, "gaussian", recordings)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.usefixtures("drawn")
def test_nll_train_is_that_of_the_last_mini_batch(algorithm):
    experiment = build(tiny_config(algorithm, {"adapt.batch_size": SIZE}))
    task = experiment.source.sample(tf.constant([3, 4]))
    adapt = experiment.adapt.whole
    _, metrics = experiment.meta_gradient(experiment.initial, task, adapt)
    theta = adapt(experiment.initial, task)
    rows = task.train["rows"][:SIZE]
    assert float(metrics["nll_train"]) == pytest.approx(float(experiment.nll(theta, (rows, rows))))


@pytest.mark.parametrize(
    ("algorithm", "changes", "part"),
    [
        ("reptile", {}, "batch_size=0"),
        ("reptile", {"adapt.batch_size": 2, "adapt.data": "all"}, "data='all'"),
        ("imaml", {"adapt.batch_size": 2, "algorithm.hessian_data": "all"}, "hessian_data"),
        ("reptile", {"adapt.batch_size": 2, "algorithm.hessian_data": "last"}, "hessian_data"),
    ],
)
@pytest.mark.usefixtures("drawn")
def test_all_data_at_once_are_refused(algorithm, changes, part):
    with pytest.raises(UsageError, match=part):
        build(tiny_config(algorithm, changes))
