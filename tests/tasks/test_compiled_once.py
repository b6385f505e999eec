"""XLA compiles the drawing of tasks once, whatever the key or the number of the task.

A slice's start, where it depends on a key, is a constant to XLA's eyes: with `x[index]` speech was
compiled anew, for a minute, at each meta-step. What it compiles is counted in its own log, which
is asked for before TensorFlow is loaded: in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from meta_shrink import Shares, TaskSource
from meta_shrink.rng import fold_in
from meta_shrink.tasks import alphabets
from meta_shrink.tasks.arrays import array_source
from tests.numbered_images import numbered_omniglot
from tests.speech.samples import prepared_folder, speaker
from tests.system.test_programs import ROOT

COMPILED = "Compilation of XLA executable time"  # a line of device_compiler.h, at level 1
DRAWS = 3


def sources(folder: str) -> dict[str, TaskSource]:
    """One of each kind of task that has something to choose from."""
    from tests.tasks import test_arrays, test_few_shot, test_speech  # Not collected twice.

    alphabets.read_omniglot = numbered_omniglot  # type: ignore[assignment]
    augment = {"scale": [0.8, 1.2], "shift": 0.2, "rotation": 180}
    own = prepared_folder(
        Path(folder), [speaker(f"s{n}", [20, 30, 9, 14], "", n) for n in range(4)]
    )
    lines = test_arrays.tasks(8, 5, 9, 7)
    return {
        "episodes": test_few_shot.source(),
        "alphabets": alphabets.omniglot_alphabets(seed=0, data_dir="", augment=augment),
        "arrays": array_source(lines, test_arrays.SPECS, Shares(), seed=0),
        "speech": test_speech.source(own, heldout_speakers=2),
    }


def draws(source: TaskSource) -> dict[str, Callable[[int], Any]]:
    """Functions of a number: tasks, and a mini-batch of one."""
    key = tf.constant([3, 4])
    task = source.sample(key)
    found: dict[str, Callable[[int], Any]] = {
        "sample": compiled(lambda n: source.sample(fold_in(key, "test", n))),
        "heldout": compiled(source.heldout),
    }
    if source.draw:
        draw = source.draw
        found["draw"] = compiled(lambda n: draw(fold_in(key, "test", n), task.train, 2))
    return found


def compiled(function: Callable[[tf.Tensor], Any]) -> Callable[[int], Any]:
    traced = tf.function(function, jit_compile=True, autograph=False)
    return lambda number: traced(tf.constant(number))


def main() -> None:
    """Each draw three times; its name before, so that a reader of the log can tell them apart."""
    with tempfile.TemporaryDirectory() as folder:
        for name, source in sources(folder).items():
            for kind, draw in draws(source).items():
                print(f"== {name}.{kind}", file=sys.stderr, flush=True)
                for number in range(DRAWS):
                    draw(number)
    print("== end", file=sys.stderr, flush=True)
    sliced = compiled(lambda n: tf.range(10)[n])
    print("== a slice", file=sys.stderr, flush=True)
    for number in range(DRAWS):
        sliced(number)


def test_each_draw_is_compiled_once():
    environment = os.environ | {"TF_CPP_VMODULE": "device_compiler=1", "TF_CPP_MIN_LOG_LEVEL": "0"}
    program = f"from {__name__} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    parts = [part.partition("\n") for part in done.stderr.split("== ")[1:]]
    counts = {name: text.count(COMPILED) for name, _, text in parts}
    # What the test is against: a slice that starts where an argument says.
    assert counts.pop("a slice") == DRAWS
    assert counts.pop("end") == 0 and len(counts) == 9
    assert set(counts.values()) == {1}, counts
