"""Everything lowers: what an accelerator refuses cannot enter the pure part of a meta-step.

Every algorithm, from the real configs with data of the real shapes, becomes an XLA program of
static shapes. `make tpu-proof` compiles them for TPUs; this needs nothing but the CPU. Most are
marked slow.
"""

from __future__ import annotations

import re

import pytest
import tensorflow as tf

from benchmarks.tpu_proof import lower
from benchmarks.tpu_proof.rows import ALGORITHMS, EXPERIMENTS, Row, row_config

QUICK = {("sinusoid", "sigma_imaml"), ("omniglot_few_shot", "sigma_maml")}
DYNAMIC = re.compile(r"\[[^\]]*<=")  # f32[<=10]
# Calls of the host, and kernels that only this machine has.
HOST = re.compile(r"\b(?:infeed|outfeed|send|recv)\(|custom_call_target=\"(?!TopK)([^\"]+)\"")


def cases():
    for experiment in EXPERIMENTS:
        for algorithm in ALGORITHMS:
            slow = [] if (experiment, algorithm) in QUICK else [pytest.mark.slow]
            yield pytest.param(experiment, algorithm, marks=slow)


@pytest.mark.parametrize(("experiment", "algorithm"), list(cases()))
def test_every_meta_step_lowers_to_static_shapes(experiment, algorithm):
    text = lower.lowered(row_config(Row(experiment, algorithm)), stage="hlo")
    assert text.startswith("HloModule")
    assert DYNAMIC.findall(text) == []
    assert HOST.findall(text) == []


def with_task(monkeypatch, change):
    """The sinusoid's core, its training inputs changed by this."""
    build = lower.build

    def changed(config):
        experiment = build(config)
        sample = experiment.source.sample

        def other(key):
            task = sample(key)
            return task._replace(train=(change(task.train[0]), task.train[1]))

        return experiment._replace(source=experiment.source._replace(sample=other))

    monkeypatch.setattr(lower, "build", changed)
    config = row_config(Row("sinusoid", "reptile"))
    config["train"]["task_axis"] = "sequential"
    return lower.lowered(config, stage="hlo")


def of_text(x):
    return tf.strings.to_number(tf.strings.as_string(x))


def by_the_host(x):
    return tf.ensure_shape(tf.numpy_function(lambda y: y, [x], tf.float32), x.shape)


def of_unknown_size(x):
    return tf.ensure_shape(tf.unique(x[:, 0])[0][:, tf.newaxis], x.shape)


def test_what_is_not_refused_lowers(monkeypatch):
    assert with_task(monkeypatch, lambda x: x + 1).startswith("HloModule")


@pytest.mark.parametrize("change", [of_text, by_the_host])
def test_what_an_accelerator_has_not_is_felt(monkeypatch, change):
    with pytest.raises(ValueError, match=r"unsupported operations|uncompilable"):
        with_task(monkeypatch, change)


def test_so_is_a_size_that_only_the_run_knows(monkeypatch):
    assert DYNAMIC.findall(with_task(monkeypatch, of_unknown_size)) != []
