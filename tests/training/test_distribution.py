"""Which strategy a name gives, and what is said where it gives none."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError
from meta_shrink.programs import strategy
from meta_shrink.training import distribution
from meta_shrink.training.distribution import make_strategy, set_cpu_threads
from meta_shrink.training.multi_worker import Workers
from meta_shrink.training.tf_config import place_of_process

TWO = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
FIRST = {"type": "worker", "index": 0}


def job(task: object = None, **cluster: object) -> str:
    """A TF_CONFIG; of its two workers the first one unless told otherwise."""
    return json.dumps({"cluster": cluster or TWO, "task": task or FIRST})


@pytest.mark.parametrize("name", ["multi_worker", "auto"])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "which is no JSON"),
        ("[" * 100_000, "which is no JSON"),
        ("[]", "which lacks a cluster"),
        ("{}", "which lacks a cluster"),
        (json.dumps({"cluster": TWO}), "which lacks a cluster, or a task"),
        (json.dumps({"cluster": {}, "task": FIRST}), "has no worker 0"),
        (job({"type": "worker", "index": 2}), "has no worker 2"),
        (job({"type": "worker", "index": -1}), "has no worker -1"),
        (job({"type": "chief", "index": 0}), "has no chief 0"),
        (job({"type": "worker", "index": "0"}), "or a task with its type and index"),
        (job({"type": "evaluator", "index": 0}), "kind 'evaluator', where only chief and worker"),
        (job(**TWO, ps=["127.0.0.1:3"]), "kind 'ps', where only chief and worker train"),
        (job(**TWO, chief=None), "whose addresses are no lists"),
        (job(worker="127.0.0.1:1"), "whose addresses are no lists"),
        (job(worker=["no_port"]), "where 'no_port' is no HOST:PORT"),
        # That of another process, for which TensorFlow would wait.
        (job(worker=["a:1", "b"]), "where 'b' is no HOST:PORT"),
        (job(worker=["a:1", "b:"]), "where 'b:' is no HOST:PORT"),
        (job(worker=["a:1", "b:0"]), "where 'b:0' is no HOST:PORT"),
        (job(worker=["a:1", "b:65536"]), "where 'b:65536' is no HOST:PORT"),
        (job(worker=["a:1", "grpc://b:2"]), "where 'grpc://b:2' is no HOST:PORT"),
        (job(worker=["a:1", ["b:2"]]), "is no HOST:PORT"),
        (job(worker=["a:1", "a:1"]), "where two processes have the address a:1"),
        (job(worker=["a:1"], chief=["a:1"]), "where two processes have the address a:1"),
        (job(worker=["a:1"], chief=["b:1", "c:1"]), "with more than one chief"),
    ],
)
def test_a_wrong_tf_config_is_refused_at_once(text, fault, name, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError) as told:
        make_strategy(name)
    assert str(told.value).startswith(f"--strategy={name} found TF_CONFIG=")
    assert fault in str(told.value) and "; expected {" in str(told.value)


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_tf_config_is_none(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    assert make_strategy("auto") is tf.distribute.get_strategy()
    with pytest.raises(UsageError, match=r"found TF_CONFIG=.*which is no JSON; expected"):
        make_strategy("multi_worker")


@pytest.mark.parametrize(("kind", "index"), [("chief", 0), ("worker", 2)])
def test_a_chief_comes_before_the_workers(kind, index, monkeypatch):
    cluster = {"worker": ["a:1", "[::1]:2"], "chief": ["c:3"]}
    task = {"type": kind, "index": max(0, index - 1)}
    monkeypatch.setenv("TF_CONFIG", job(task, **cluster))
    assert place_of_process("multi_worker") == (["c:3", "a:1", "[::1]:2"], index)


def test_auto_takes_the_only_process_of_a_tf_config_for_none(monkeypatch):
    only = {"cluster": {"worker": ["127.0.0.1:1"]}, "task": FIRST}
    monkeypatch.setenv("TF_CONFIG", json.dumps(only))
    assert make_strategy("auto") is tf.distribute.get_strategy()


@pytest.mark.parametrize("name", ["auto", "multi_worker"])
def test_a_program_that_joins_no_processes_says_so_without_waiting_for_them(name, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": TWO, "task": FIRST}))
    with pytest.raises(UsageError, match="share the work"):
        make_strategy(name, joined="Start it in each; they share the work.")


@pytest.mark.parametrize("cpu_threads", [-1, 1025, 10**10])
def test_threads_that_no_machine_has_are_refused(cpu_threads):
    with pytest.raises(UsageError, match=f"cpu_threads is {cpu_threads}; expected 0 to 1024"):
        set_cpu_threads(cpu_threads=cpu_threads)


def test_mirrored_without_a_gpu_is_no_run_on_one_cpu(monkeypatch):
    (cpu, *_) = tf.config.list_logical_devices("CPU")
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: [cpu] if kind == "CPU" else []
    )
    distribution._mirrored.cache_clear()
    with pytest.raises(UsageError, match="--strategy=mirrored found no GPU on this machine"):
        make_strategy("mirrored")


@pytest.mark.parametrize("tpu", ["", " "])
def test_an_empty_name_is_no_local_tpu(tpu, monkeypatch):
    """As of a shell's variable that is not set."""
    monkeypatch.setattr(strategy, "STRATEGY", SimpleNamespace(value="tpu"))
    monkeypatch.setattr(strategy, "TPU", SimpleNamespace(value=tpu))
    with pytest.raises(UsageError, match="--tpu= is empty"):
        strategy.chosen_strategy()


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
