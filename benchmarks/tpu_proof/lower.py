"""TensorFlow's half: the pure part of a row's meta-step as HLO.

    python -m benchmarks.tpu_proof.lower ROW FILE

Writes the module that TensorFlow would hand to the TPU's compiler. Needs the tensorflow-tpu wheel:
no other lowers for a TPU.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks.tpu_proof.rows import row_config, row_named
from benchmarks.tpu_proof.stand_ins import stand_ins
from meta_shrink.experiments.build import build
from meta_shrink.rng import root_key
from meta_shrink.training.meta_batch import Totals, make_core
from meta_shrink.training.meta_step import share_of_replica, task_keys
from meta_shrink.types import MetaParams


def main(arguments: list[str]) -> None:
    """Lower a row and write it; see the module's docstring."""
    name, path = arguments
    row = row_named(name)
    module = lowered(row_config(row), row.replicas, stage="hlo_serialized", platform_name="TPU")
    Path(path).write_bytes(module)


def lowered(config: Mapping[str, Any], replicas: int = 1, **how: str) -> Any:
    """A replica's part of a meta-step: its tasks, their meta-gradients and sums, and the reduction.

    Args:
      config: of an experiment; the data are stand-ins.
      replicas: that share the meta-batch.
      **how: stage and platform_name, of TensorFlow's experimental_get_compiler_ir.
    """
    with stand_ins():
        experiment = build(config)
    schedule = experiment.schedule
    core = make_core(
        experiment.meta_gradient,
        experiment.adapt.whole,
        experiment.source,
        task_axis=schedule.task_axis,
        jit=True,
    )

    @tf.function(jit_compile=True, autograph=False)
    def replica(meta: MetaParams, keys: tf.Tensor) -> Totals:
        totals = core(meta, keys)
        return totals if replicas == 1 else tf.nest.map_structure(summed, totals)

    def summed(x: tf.Tensor) -> tf.Tensor:
        # What TPUStrategy makes of all_reduce.
        every = [list(range(replicas))]
        return tf.raw_ops.CrossReplicaSum(input=x, group_assignment=every)

    root, share = root_key(0, "train_tasks"), share_of_replica(schedule.meta_batch_size, replicas)
    keys = task_keys(root, tf.constant(0, tf.int64), 0, share)
    return replica.experimental_get_compiler_ir(experiment.initial, keys)(**how)


if __name__ == "__main__":
    main(sys.argv[1:])
