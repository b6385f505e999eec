"""tf.distribute strategies by name."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.runs.checkpoints import first_line
from meta_shrink.training.rendezvous import meet

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")
# Where MultiWorkerMirroredStrategy finds its processes, and the kinds of them that train.
TF_CONFIG, WORKER_JOBS = "TF_CONFIG", ("chief", "worker")
# "default": the accelerator's own, TF32 on a GPU and bfloat16 on a TPU.
MATMUL_PRECISIONS = ("float32", "default")


def set_cpu_threads(*, cpu_threads: int) -> None:
    """Bound TensorFlow's CPU threads; call before anything touches a device.

    Args:
      cpu_threads: 0 leaves TensorFlow's own choice. One thread is faster for small networks,
        whose operations cost less than handing them to another thread.

    Raises:
      UsageError: a negative number, or TensorFlow is running already.
    """
    if cpu_threads < 0:
        raise UsageError(f"device.cpu_threads is {cpu_threads}; expected 0 or more.")
    if not cpu_threads:
        return
    try:
        tf.config.threading.set_inter_op_parallelism_threads(cpu_threads)
        tf.config.threading.set_intra_op_parallelism_threads(cpu_threads)
    except RuntimeError as error:
        raise UsageError(f"device.cpu_threads must be set first of all: {error}") from error


def set_matmul_precision(name: str) -> None:
    """How exact the products of float32 numbers are, for all that is traced or run from now on.

    Accelerators shorten the factors of matrix products and convolutions unless they are told not
    to, those of Hessian products and linear solves too. The CPU does not.

    Args:
      name: "float32", all 24 bits; "default", what the accelerator does by itself, which is faster.

    Raises:
      UsageError: another name.
    """
    if name not in MATMUL_PRECISIONS:
        raise UsageError(
            f"device.matmul_precision is {name!r}; expected one of {', '.join(MATMUL_PRECISIONS)}."
        )
    tf.config.experimental.enable_tensor_float_32_execution(name == "default")


def make_strategy(name: str, *, tpu: str = "", joined: str | None = None) -> tf.distribute.Strategy:
    """The strategy of a name; call before anything else touches a device.

    Args:
      name: "one", "mirrored" (all GPUs, or all logical CPUs), "multi_worker" (the processes that
        TF_CONFIG names, each of which calls this and waits for the others), "tpu", or "auto": that
        of `tpu`, of a TF_CONFIG with several processes, of a TPU, of several GPUs, else one device.
      tpu: "local" or the name of a TPU; "" is "local" for the strategy "tpu".
      joined: for a program that joins no processes, the sentence that refuses "multi_worker".

    Raises:
      UsageError: unknown name, a tpu for another strategy, no TPU where one was asked for, or a
        TF_CONFIG that is missing or wrong.
    """
    if name not in STRATEGIES:
        raise UsageError(f"--strategy is {name!r}; expected one of {', '.join(STRATEGIES)}.")
    if tpu and name not in ("auto", "tpu"):
        raise UsageError(f"--tpu={tpu} goes with --strategy=tpu, not with {name}; leave one out.")
    if name == "auto":
        name = "tpu" if tpu else _best()
    if name == "mirrored":
        return _mirrored()
    if name == "multi_worker":
        if joined:
            raise UsageError(joined)
        return _multi_worker()
    if name == "tpu":
        return _tpu(tpu or "local")
    return tf.distribute.get_strategy()


def _best() -> str:
    if TF_CONFIG in os.environ and len(_hosts(_tf_config())) > 1:
        return "multi_worker"
    if tf.config.list_physical_devices("TPU"):
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one"


@cache
def _mirrored() -> tf.distribute.Strategy:
    # One for the whole process: TensorFlow numbers the collectives of every strategy from the same
    # start, so those of a second one meet the first one's ("Shape mismatch in the collective").
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    return tf.distribute.MirroredStrategy([d.name for d in tf.config.list_logical_devices(kind)])


def _multi_worker() -> tf.distribute.Strategy:
    config = _tf_config()
    hosts, task = _hosts(config), config["task"]
    chiefs = len(config["cluster"].get("chief", []))
    try:
        meet(hosts, task["index"] + (chiefs if task["type"] == "worker" else 0))
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise UsageError(
            f"--strategy=multi_worker could not join {', '.join(hosts)}: {first_line(error)}; "
            "look whether the addresses are right, free and open to the others."
        ) from error


def _hosts(config: dict[str, Any]) -> list[str]:
    return [host for job in WORKER_JOBS for host in config["cluster"].get(job, [])]


def _tf_config() -> dict[str, Any]:
    """The environment variable, checked: TensorFlow itself waits for ever for a wrong one.

    Raises:
      UsageError: it is missing, no JSON, or names no place for this process.
    """
    text = os.environ.get(TF_CONFIG, "")
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        place = jobs[task["type"]][task["index"]]
        whole = set(jobs) <= set(WORKER_JOBS) and task["index"] >= 0 and ":" in place
    except (ValueError, KeyError, IndexError, TypeError):
        whole = False
    if not whole:
        raise UsageError(
            f"--strategy=multi_worker found {TF_CONFIG}={text[:200]!r}; expected "
            '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}, '
            "the same cluster in every process and an index of its own."
        )
    return config


def _tpu(name: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu=name)
    except (ValueError, RuntimeError, ImportError, OSError, tf.errors.OpError) as error:
        where = "on this machine" if name == "local" else f"called {name!r}"
        raise UsageError(
            f"--strategy=tpu found no TPU {where}; run on a TPU VM with the [tpu] extra installed, "
            f"and name the TPU by --tpu if it is not this machine's ({first_line(error)})."
        ) from error
    return tf.distribute.TPUStrategy(resolver)
