"""tf.distribute strategies by name."""

from __future__ import annotations

from functools import cache

import tensorflow as tf

from meta_shrink.errors import UsageError

STRATEGIES = ("auto", "one", "mirrored", "tpu")
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


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy of a name; call before anything else touches a device.

    Args:
      name: "auto" (a TPU if there is one, all GPUs if there are several, else one device), "one",
        "mirrored" (all GPUs, or all logical CPUs), "tpu" (TPU VM).

    Raises:
      UsageError: unknown name, or no TPU where one was asked for.
    """
    if name not in STRATEGIES:
        raise UsageError(f"--strategy is {name!r}; expected one of {', '.join(STRATEGIES)}.")
    if name == "auto":
        name = _best()
    if name == "mirrored":
        return _mirrored()
    if name == "tpu":
        return _tpu()
    return tf.distribute.get_strategy()


def _best() -> str:
    if tf.config.list_physical_devices("TPU"):
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one"


@cache
def _mirrored() -> tf.distribute.Strategy:
    # One for the whole process: TensorFlow numbers the collectives of every strategy from the same
    # start, so those of a second one meet the first one's ("Shape mismatch in the collective").
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    return tf.distribute.MirroredStrategy([d.name for d in tf.config.list_logical_devices(kind)])


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu="local")
    except (ValueError, tf.errors.OpError, RuntimeError) as error:
        raise UsageError(
            "--strategy=tpu found no TPU; run on a TPU VM with the [tpu] extra installed "
            f"({str(error).splitlines()[0]})."
        ) from error
    return tf.distribute.TPUStrategy(resolver)
