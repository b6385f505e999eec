"""tf.distribute strategies by name."""

from __future__ import annotations

from functools import cache

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.runs.checkpoints import first_line
from meta_shrink.training.rendezvous import meet
from meta_shrink.training.tf_config import is_given, place_of_process

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")
# TensorFlow starts all of them at once; where that cannot be, it hangs or aborts.
MOST_CPU_THREADS = 1024
# "default": the accelerator's own, TF32 on a GPU and bfloat16 on a TPU.
MATMUL_PRECISIONS = ("float32", "default")


def set_cpu_threads(*, cpu_threads: int) -> None:
    """Bound TensorFlow's CPU threads; call before anything touches a device.

    Args:
      cpu_threads: 0 leaves TensorFlow's own choice. One thread is faster for small networks,
        whose operations cost less than handing them to another thread.

    Raises:
      UsageError: a number out of range, or TensorFlow is running already.
    """
    if not 0 <= cpu_threads <= MOST_CPU_THREADS:
        raise UsageError(f"device.cpu_threads is {cpu_threads}; expected 0 to {MOST_CPU_THREADS}.")
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
      UsageError: unknown name, a tpu for another strategy, no TPU or GPU where one was asked for,
        or a TF_CONFIG that is missing or wrong.
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
    if is_given() and len(place_of_process("auto").hosts) > 1:
        return "multi_worker"
    if tf.config.list_physical_devices("TPU"):
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one"


@cache
def _mirrored() -> tf.distribute.Strategy:
    # One for the whole process: TensorFlow numbers the collectives of every strategy from the same
    # start, so those of a second one meet the first one's ("Shape mismatch in the collective").
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if kind == "CPU" and len(devices) == 1:
        raise UsageError(
            "--strategy=mirrored found no GPU on this machine; see to its driver and the [gpu] "
            "extra, or run on the CPU by --strategy=one."
        )
    return tf.distribute.MirroredStrategy(devices)


def _multi_worker() -> tf.distribute.Strategy:
    hosts, index = place_of_process("multi_worker")
    try:
        meet(hosts, index)
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise UsageError(
            f"--strategy=multi_worker could not join {', '.join(hosts)}: {first_line(error)}; "
            "look whether the addresses are right, free and open to the others."
        ) from error


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
