"""Which strategy a name gives, and what is said where it gives none."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError
from meta_shrink.training.distribution import make_strategy
from meta_shrink.training.multi_worker import Workers

TWO = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
FIRST = {"type": "worker", "index": 0}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"cluster": TWO}),
        json.dumps({"cluster": {}, "task": FIRST}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": -1}}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": "0"}}),
        json.dumps({"cluster": {"worker": ["no_port"]}, "task": FIRST}),
        json.dumps({"cluster": {**TWO, "ps": ["127.0.0.1:3"]}, "task": FIRST}),
        json.dumps({"cluster": TWO, "task": {"type": "evaluator", "index": 0}}),
    ],
)
def test_a_wrong_tf_config_is_refused_at_once(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match=r"found TF_CONFIG=.*; expected"):
        make_strategy("multi_worker")


def test_auto_takes_the_only_process_of_a_tf_config_for_none(monkeypatch):
    only = {"cluster": {"worker": ["127.0.0.1:1"]}, "task": FIRST}
    monkeypatch.setenv("TF_CONFIG", json.dumps(only))
    assert make_strategy("auto") is tf.distribute.get_strategy()


@pytest.mark.parametrize("name", ["auto", "multi_worker"])
def test_a_program_that_joins_no_processes_says_so_without_waiting_for_them(name, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": TWO, "task": FIRST}))
    with pytest.raises(UsageError, match="share the work"):
        make_strategy(name, joined="Start it in each; they share the work.")


@pytest.mark.parametrize("name", ["one", "mirrored", "multi_worker"])
def test_a_tpu_for_another_strategy_is_refused(name):
    with pytest.raises(UsageError, match=f"--tpu=pod goes with --strategy=tpu, not with {name}"):
        make_strategy(name, tpu="pod")


@pytest.mark.parametrize("name", ["auto", "tpu"])
def test_a_tpu_that_is_not_there_is_told_by_its_name(name):
    with pytest.raises(UsageError, match="found no TPU called 'pod'"):
        make_strategy(name, tpu="pod")


def test_a_process_alone_agrees_with_itself():
    workers = Workers(tf.distribute.get_strategy())
    assert (workers.count, workers.is_chief) == (1, True)
    np.testing.assert_array_equal(workers.gather(3, 4), [[3, 4]])
    assert workers.agree(7, True) == (7, True)
    workers.require_same("config", "anything")
    with workers.chief_first(), workers.loss_told():
        pass
