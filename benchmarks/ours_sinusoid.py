"""sigma-Reptile on the sinusoid with meta_shrink, doing the work that `peers.workload` names."""

import numpy as np
import tensorflow as tf

from benchmarks import settings
from benchmarks.peers import workload
from meta_shrink.experiments import build as experiment
from meta_shrink.experiments.train import set_up
from meta_shrink.prior import regulariser_gradient
from meta_shrink.task_axis import over_tasks
from meta_shrink.training.distribution import set_cpu_threads
from meta_shrink.training.meta_batch import sum_finite
from meta_shrink.types import MetaParams, Task

TASK_AXIS = "vectorized"


def build(
    num_tasks=5, num_steps=100, num_points=10, cg_steps=1, *, meta_steps_per_call=1, start=None
):
    """Meta-training from `start` (phi, log_sigma2; default: `workload.initial_meta_params`).

    Returns `step()`: `meta_steps_per_call` meta-steps in one call of the library's own compiled
    loop, sampling, Adam and metrics included; log_sigma2 as numpy [6]. TensorFlow gets one thread.
    """
    set_cpu_threads(cpu_threads=1)
    built = experiment.build(config_of(num_tasks, num_steps, num_points, cg_steps))
    training = set_up(built, tf.distribute.get_strategy())
    state = training.state
    phi, log_sigma2 = start or workload.initial_meta_params()
    for variable, value in zip(state.components["phi"], phi, strict=True):
        variable.assign(value)
    state.components["log_sigma2"][0].assign(log_sigma2)

    def step():
        training.run(meta_steps_per_call)
        return state.meta().log_sigma2.numpy()

    return step


def meta_gradient(
    phi, log_sigma2, x_train, y_train, x_val, y_val, *, num_steps=100, cg_steps=1
) -> tuple[list[np.ndarray], np.ndarray]:
    """Delta_phi (list) and Delta_log_sigma2 [6], averaged over tasks, all numpy.

    The data are [tasks, points, 1].
    """
    num_tasks, num_points = x_train.shape[:2]
    built = experiment.build(config_of(num_tasks, num_steps, num_points, cg_steps))
    meta = MetaParams(
        [tf.constant(x) for x in phi], tf.constant(log_sigma2), built.initial.log_alpha
    )
    keys = tf.zeros([num_tasks, 2], tf.int32)
    tasks = Task(_constants(x_train, y_train), _constants(x_val, y_val), keys)

    @tf.function(jit_compile=True, autograph=False)
    def total(meta, tasks):
        lifted = over_tasks(
            lambda task: built.meta_gradient(meta, task, built.adapt.whole), TASK_AXIS
        )
        return sum_finite(*lifted(tasks))

    delta, count, _ = total(meta, tasks)
    prior = regulariser_gradient(meta.log_sigma2, beta=workload.INVERSE_GAMMA_BETA)
    delta_log_sigma2 = delta.log_sigma2 / count + prior
    return [(x / count).numpy() for x in delta.phi], delta_log_sigma2.numpy()


def config_of(num_tasks, num_steps, num_points, cg_steps):
    """The sinusoid config with the settings of the workload."""
    config = settings.sinusoid("sigma_reptile")
    config.task.update({"num_train": num_points, "num_val": num_points})
    config.model.hidden = [workload.HIDDEN_UNITS] * 2
    config.adapt.update({"learning_rate": workload.TASK_LEARNING_RATE, "steps": num_steps})
    config.algorithm.update({"cg_steps": cg_steps, "damping": workload.DAMPING})
    low, high = np.exp(workload.LOG_SIGMA2_RANGE).tolist()
    config.prior.update(
        {"beta": workload.INVERSE_GAMMA_BETA, "sigma2_min": low, "sigma2_max": high}
    )
    adam = {"name": "adam", "epsilon": 1e-8}
    config.meta_optimizer = {
        "phi": {**adam, "learning_rate": workload.PHI_LEARNING_RATE},
        "log_sigma2": {**adam, "learning_rate": workload.LOG_SIGMA2_LEARNING_RATE},
    }
    config.train.update(
        {"meta_batch_size": num_tasks, "task_axis": TASK_AXIS, "chunk_steps": num_steps}
    )
    return config.to_dict()


def _constants(*arrays):
    return tuple(tf.constant(array) for array in arrays)
