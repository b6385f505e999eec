"""How others serve many adapters: a SavedModel per task, and one model whose variables are set.

Both answer rows one by one, from as many threads as our clients have.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.serving_setup import Line, Setup, expected, flat, resident_bytes, tolerance
from meta_shrink.adapters.backbone_info import argument_name

Serve = Callable[[dict[str, np.ndarray], int], dict[str, np.ndarray]]


def model_per_task(setup: Setup, models: int) -> tuple[Serve, float]:
    """serve(inputs, task) of as many loaded SavedModels, and the bytes that each takes."""
    before = resident_bytes()
    loaded = [tf.saved_model.load(setup.backbone.path) for _ in range(models)]
    functions = [model.signatures["serving_default"] for model in loaded]

    def serve(inputs, task, _alive=loaded):
        return outputs_of(functions[task % models], inputs)

    for task in range(models):  # Memory of a model that has answered once.
        serve(setup.batch(1), task)
    return serve, (resident_bytes() - before) / models


def assign_and_run(setup: Setup, adapters: Sequence[Any], *, locked: bool) -> Serve:
    """serve(inputs, task) of one model: assign the adapter to variables, then run.

    locked: one request after another; else requests run into each other, as where a swap does not
    wait for requests in flight.
    """
    phi = setup.backbone.default.tensors
    variables = {name: tf.Variable(value) for name, value in phi.items()}
    arguments = {argument_name(name): variable for name, variable in variables.items()}
    signature = setup.backbone.signatures["serve"]

    @tf.function(autograph=False)
    def run(inputs):
        return signature(**inputs, **{name: v.read_value() for name, v in arguments.items()})

    lock: Any = threading.Lock() if locked else nullcontext()

    def serve(inputs, task):
        with lock:
            for name, variable in variables.items():
                variable.assign(adapters[task].tensors[name])
            return outputs_of(lambda **values: run(values), inputs)

    return serve


def outputs_of(function: Callable[..., Any], inputs: dict[str, np.ndarray]):
    """Outputs as arrays."""
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return {name: value.numpy() for name, value in function(**tensors).items()}


def rate(setup: Setup, serve: Serve, tasks: int, *, threads: int, rows: int) -> float:
    """Rows per second, each row alone, tasks in turn."""

    def work(first: int) -> None:
        for number in range(first, rows, threads):
            serve({name: value[None] for name, value in setup.row(number).items()}, number % tasks)

    work(rows - 1)
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(work, range(threads)))
        return rows / (time.perf_counter() - start)


def torn(setup: Setup, adapters: Sequence[Any], *, locked: bool, threads: int, rows: int) -> Line:
    """Rows that assign-and-run answers from a mix of adapters, or from another one."""
    serve = assign_and_run(setup, adapters, locked=locked)
    answers = expected(setup, list(adapters))
    close = tolerance(answers)

    def work(first: int) -> tuple[int, int]:
        mixed = other = 0
        for number in range(first, rows, threads):
            task, row = number % len(adapters), number % answers.shape[1]
            batch = {name: value[None] for name, value in setup.row(row).items()}
            found = np.abs(answers[:, row] - flat(serve(batch, task))).max(axis=-1) <= close
            mixed += not found.any()
            other += bool(found.any() and not found[task])
        return mixed, other

    with ThreadPoolExecutor(threads) as pool:
        mixed, other = np.sum(list(pool.map(work, range(threads))), axis=0)
    how = "under a lock" if locked else "without a lock"
    return Line(
        "S4 peer",
        f"assign and run {how}, {threads} threads, {rows:,} rows",
        f"{mixed:,} torn, {other:,} of another adapter",
    )
