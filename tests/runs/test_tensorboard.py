"""What a run leaves for TensorBoard, read back by TensorBoard itself."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from meta_shrink import build, open_workdir, train
from meta_shrink.durable_files import to_json
from tests.tiny_runs import NO_LOG, tiny_config


def number(event) -> float:
    return float(tf.make_ndarray(event.tensor_proto))


def test_curves_rates_and_config(tmp_path):
    changes = {
        "train.steps": 4,
        "train.log_every": 2,
        "train.eval_every": 2,
        "meta_optimizer.phi": {"name": "sgd", "learning_rate": 0.5, "decay": "linear"},
    }
    config = tiny_config("sigma_reptile", changes)
    with open_workdir(str(tmp_path), config) as workdir:
        train(build(config), workdir, **NO_LOG)
        rows = [*workdir.metrics.rows()]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for kind, name in (("eval", "metric"), ("eval", "ci95"), ("train", "nll_val")):
        curve = [(e.step, number(e)) for e in events.Tensors(f"{kind}/{name}")]
        expected = [(row["step"], row[name]) for row in rows if row["kind"] == kind]
        assert [step for step, _ in curve] == [step for step, _ in expected] == [2, 4]
        assert [v for _, v in curve] == pytest.approx([v for _, v in expected], rel=1e-6)
    # Linear from 0.5 at meta-step 0 to 0 at 4.
    rates = [(e.step, number(e)) for e in events.Tensors("learning_rate/phi")]
    assert rates == [(2, pytest.approx(0.25)), (4, pytest.approx(0.0))]
    other = config["meta_optimizer"]["log_sigma2"]
    assert other["decay"] == "linear"
    rates = [number(e) for e in events.Tensors("learning_rate/log_sigma2")]
    assert rates == pytest.approx([other["learning_rate"] / 2, 0.0])
    (text,) = events.Tensors("config")
    written = text.tensor_proto.string_val[0].decode()
    assert json.loads(written.removeprefix("```json\n").removesuffix("\n```")) == to_json(config)
