"""Inputs that are integers: what stands for them in a probe is what the model takes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import meta_shrink as ms
from meta_shrink.adapters.probe import probe_inputs
from meta_shrink.backbones.full_disk import full_disk_told
from tests.tiny_runs import NO_LOG


def test_a_model_of_tokens_is_exported(tmp_path):
    """The probe of its adapters are tokens that it knows; an embedding refuses any other."""
    tokens = keras.Input((4,), dtype="int32", name="tokens")
    x = keras.layers.GlobalAveragePooling1D(name="mean")(
        keras.layers.Embedding(9, 3, name="embedding")(tokens)
    )
    model = keras.Model(tokens, keras.layers.Dense(1, name="head")(x))
    rng = np.random.default_rng(0)
    tasks = {f"t{n}": (rng.integers(0, 9, [12, 4]), rng.normal(size=[12, 1])) for n in range(5)}
    changes = {"train.meta_batch_size": 2, "adapt.steps": 2, "eval.horizon": 1}
    found = ms.fit(
        model,
        tasks,
        str(tmp_path / "run"),
        loss="squared_error",
        steps=2,
        changes=changes,
        **NO_LOG,
    )
    backbone = found.export(str(tmp_path / "backbone"), modules=["embedding"], **NO_LOG)
    assert backbone.info.probe.integers == 9
    probe = probe_inputs(backbone.info)["tokens"]
    assert (
        probe.shape == (1, 4) and 0 <= probe.min() <= probe.max() < 9 and len(np.unique(probe)) > 1
    )


def test_an_error_of_computing_is_not_told_as_one_of_the_disk(tmp_path):
    with pytest.raises(tf.errors.InvalidArgumentError), full_disk_told(str(tmp_path)):
        tf.reshape(tf.zeros([3]), [2, 2])
