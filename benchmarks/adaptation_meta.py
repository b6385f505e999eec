"""What a meta-step costs beyond its adaptation, in time and memory, and what bfloat16 changes.

    python -m benchmarks.adaptation_meta [time] [memory] [error]

The network of `benchmarks.adaptation`; a task has 20 x 15 training images, of which each step sees
20, and 100 for validation. `time`: processor seconds on one thread of adaptation (100 steps), of
sigma-iMAML (5 CG steps on the last mini-batch; validation on 20 images, as App. E.1 has it and
train.validation_batch=20, or on all) and sigma-Reptile, and of their parts; rows take turns, a
ratio is the median of the rounds' own. `memory`: peak of fresh processes that run
sigma-iMAML twice, against the number of steps. `error`: relative distance of bfloat16 from float32,
with what a change of 1e-6 in phi does for comparison.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks import ours_adaptation
from benchmarks.peers import adaptation_workload as workload
from meta_shrink.adaptation import adaptation, make_adapt, random_batch, random_examples
from meta_shrink.linear_solve import damped_solve
from meta_shrink.meta_gradients import hessian_of, imaml, sigma_reptile
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.params import global_norm, subtract
from meta_shrink.proximal import proximal_gd
from meta_shrink.training.distribution import set_cpu_threads
from meta_shrink.types import Task

PRECISIONS = ("float32", "bfloat16")
NUM_STEPS, CG_STEPS, DAMPING = 100, 5, 1.0
NUM_TRAIN, NUM_VAL = 15 * workload.CLASSES, 5 * workload.CLASSES
MEMORY_STEPS = (10, 100, 1_000)


def main():
    """Parse the command line and print what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", help="time, memory, error; all by default")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every row of `time`")
    # What the processes of `memory` are started with.
    parser.add_argument("--row", nargs=2, metavar=("PRECISION", "STEPS"))
    arguments = parser.parse_args()
    if arguments.row:
        precision, steps = arguments.row
        print(peak_mib(precision, int(steps)))
        return
    printers = {
        "memory": print_memory,  # first: its processes are to find the machine as it is
        "time": lambda: print_time(arguments.rounds),
        "error": print_error,
    }
    for name, printer in printers.items():
        if name in (arguments.parts or printers):
            printer()


def functions(precision, num_steps):
    """By name, what `time` measures: compiled functions of (meta, task, adapted parameters)."""
    library = ours_adaptation.parts(precision)
    draw = random_batch(size=workload.BATCH_SIZE)
    steps = adaptation(library.nll, proximal_gd(), library.registry, next_batch=draw)
    adapt = make_adapt(steps, steps=num_steps)

    def last(task):
        return draw(task, tf.constant(num_steps - 1))

    options: dict[str, Any] = {
        "solve": damped_solve(cg_steps=CG_STEPS, damping=DAMPING),
        "hessian": hessian_of(library.nll, data=last),
    }
    implicit = imaml(library.nll, library.registry, **options)
    towards = sigma_reptile(library.nll, library.registry, **options)
    of_task = {
        "adaptation": adapt,
        "sigma-iMAML": lambda meta, task: implicit(meta, _on_mini_batch(task), adapt),
        "sigma-Reptile": lambda meta, task: towards(meta, _on_mini_batch(task), adapt),
        "sigma-iMAML, all validation images": lambda meta, task: implicit(meta, task, adapt),
        "sigma-Reptile, all validation images": lambda meta, task: towards(meta, task, adapt),
    }
    of_theta = {
        "one Hessian-vector product, 20 images": lambda task, theta: hessian_vector_product(
            library.nll, theta, last(task)
        )(theta),
        "validation gradient, 100 images": lambda task, theta: _gradient(
            library.nll, theta, task.val
        ),
        "training loss, 300 images": lambda task, theta: library.nll(theta, task.train),
    }
    wrapped = {name: lambda meta, task, theta, f=f: f(meta, task) for name, f in of_task.items()}
    wrapped |= {name: lambda meta, task, theta, f=f: f(task, theta) for name, f in of_theta.items()}
    return {name: tf.function(f, autograph=False) for name, f in wrapped.items()}, library.registry


def _on_mini_batch(task):
    return task._replace(val=random_examples(task.val, workload.BATCH_SIZE, task.key))


def _gradient(nll, theta, batch):
    with tf.GradientTape() as tape:
        tape.watch(theta)
        value = nll(theta, batch)
    return tape.gradient(value, theta)


def inputs(registry):
    """(meta, task, theta) to call the functions with; theta stands in for adapted parameters."""
    meta = ours_adaptation.meta_params(registry, workload.initial_params())
    images, labels = workload.sample_tasks(1, num_batches=1, batch_size=NUM_TRAIN + NUM_VAL)
    batches = [(x[0, 0, :NUM_TRAIN], x[0, 0, NUM_TRAIN:]) for x in (images, labels)]
    train, val = (tuple(map(tf.constant, pair)) for pair in zip(*batches, strict=True))
    return meta, Task(train, val, tf.zeros([2], tf.int32)), meta.phi


def print_time(rounds):
    """Processor milliseconds and ratios to adaptation, per precision."""
    set_cpu_threads(cpu_threads=1)
    print(f"{'one thread, processor time':50}{'ms':>8}{'/ adaptation':>14}")
    for precision in PRECISIONS:
        compiled, registry = functions(precision, NUM_STEPS)
        given = inputs(registry)
        for function in compiled.values():
            function(*given)
        rows = {name: [] for name in compiled}
        for _ in range(rounds):
            for name, function in compiled.items():
                rows[name].append(_processor_ms(function, given))
        for name, own in rows.items():
            ratios = [a / b for a, b in zip(own, rows["adaptation"], strict=True)]
            label = f"{precision}: {name}"
            print(f"{label:50}{statistics.median(own):8.1f}{statistics.median(ratios):14.3f}")


def _processor_ms(function, given):
    begin = time.process_time()
    _ = tf.nest.flatten(function(*given))[0].numpy()
    return 1e3 * (time.process_time() - begin)


def print_memory():
    """Peak resident memory by precision and number of steps, and its ratio to the fewest."""
    print(f"{'two meta-gradients of sigma-iMAML':50}{'peak, MiB':>10}{'/ first':>9}")
    for precision in PRECISIONS:
        first = None
        for steps in MEMORY_STEPS:
            row = ["--row", precision, str(steps)]
            command = [sys.executable, "-m", "benchmarks.adaptation_meta", *row]
            run = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            peak = float(run.stdout.split()[-1])
            first = first or peak
            label = f"{precision}, {steps:,} steps"
            print(f"{label:50}{peak:10.0f}{peak / first:9.3f}", flush=True)


def peak_mib(precision, num_steps):
    """Peak resident memory of this process over two meta-gradients."""
    set_cpu_threads(cpu_threads=1)
    compiled, registry = functions(precision, num_steps)
    given = inputs(registry)
    for _ in range(2):
        compiled["sigma-iMAML"](*given)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def print_error():
    """Relative distances from float32 by number of steps: adapted parameters, meta-gradient."""
    print(f"{'relative distance from float32':50}{'moved':>10}{'Delta phi':>11}{'Delta s2':>10}")
    for steps in (1, 10, NUM_STEPS):
        reference = _outcome("float32", steps)
        for precision, change in (("bfloat16", 0.0), ("float32", 1e-6)):
            outcome = _outcome(precision, steps, change)
            label = f"{steps} step(s), {precision}" + (", phi changed by 1e-6" if change else "")
            errors = [_distance(a, b) for a, b in zip(outcome, reference, strict=True)]
            print(f"{label:50}{errors[0]:10.1e}{errors[1]:11.1e}{errors[2]:10.1e}", flush=True)


def _outcome(precision, steps, change=0.0):
    """theta - phi, Delta_phi and Delta_log_sigma2 of the task."""
    compiled, registry = functions(precision, steps)
    meta, task, _ = inputs(registry)
    rng = np.random.default_rng(1)
    phi = [x * (1 + change * rng.standard_normal(x.shape).astype(np.float32)) for x in meta.phi]
    meta = meta._replace(phi=phi)
    theta = compiled["adaptation"](meta, task, phi)
    delta, _ = compiled["sigma-iMAML"](meta, task, phi)
    return subtract(theta, phi), delta.phi, [delta.log_sigma2]


def _distance(ours, reference):
    return float(global_norm(subtract(ours, reference)) / global_norm(reference))


if __name__ == "__main__":
    main()
