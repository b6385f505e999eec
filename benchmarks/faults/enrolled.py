"""S7 and S8: bytes and time of an adapter, on a network of the size of a speaker-adaptive WaveNet.

Its weights are random: what an adapter sounds like is no question to it.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.faults.processes import apart
from benchmarks.faults.results import Row
from benchmarks.speaker_network import LAYERS, LEVELS, selection_of, speaker_source
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.writing import save_backbone
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.enrolment.task_files import Examples
from meta_shrink.prior import BYTES_PER_PARAMETER

COUNTS = (1, 3, 6, 12, LAYERS)  # of task-specific dilated layers
SAMPLES, STEPS = 256, 4
SMALLEST_SHARE, SPEED_UP = 0.07, 1.5


def speaker_backbone(folder: str) -> str:
    """The folder of the network with 12 task-specific layers, made when it is first asked for."""
    path = os.path.join(folder, "speaker")
    if not os.path.exists(path):
        apart(lambda: save_backbone(speaker_source(), path) and None)
    return path


def rows(folder: str, *, rounds: int) -> Iterator[Row]:
    """S7: sizes of adapters in int8. S8: an adaptation step of 12 layers against one of all."""
    source = speaker_source()
    layers = [n for n in source.registry.names if n.startswith("dilated")]
    whole = sum(source.registry.sizes) * BYTES_PER_PARAMETER
    names = {count: tuple(layers[-count:]) for count in COUNTS}
    names[source.registry.num_modules] = tuple(source.registry.names)
    adaptations, sizes = {}, {}
    for count, modules in names.items():
        path = os.path.join(folder, f"speaker_{count}")
        selection = selection_of(source.registry, modules)
        save_backbone(source._replace(selection=selection), path)
        backbone = Backbone.load(path)
        adaptations[count] = TaskAdaptation(backbone)
        theta = backbone.default.tensors
        facts = TaskFacts("speaker", 0, 0, 0)
        sizes[count] = len(backbone.seal(theta, facts, encoding="int8_delta"))
    told = ", ".join(f"{n} layers {size / 1e3:,.0f} kB" for n, size in sizes.items())
    share = sizes[12] / whole
    goal = f"12 of {LAYERS} layers: <= {SMALLEST_SHARE:.0%} of the network in float32"
    found = f"{share:.1%} ({told})"
    yield Row("S7", "bytes of adapters in int8", goal, found, share <= SMALLEST_SHARE)
    yield _speed(adaptations[12], adaptations[source.registry.num_modules], rounds)


def _speed(few: TaskAdaptation, all_modules: TaskAdaptation, rounds: int) -> Row:
    generator = np.random.default_rng(0)
    wave = generator.uniform(-1, 1, (1, SAMPLES, 1)).astype(np.float32)
    targets = generator.integers(0, LEVELS, (1, SAMPLES)).astype(np.int32)
    examples = Examples({"wave": wave}, targets)
    seconds: dict[str, list[float]] = {"few": [], "all": []}
    for turn in range(rounds + 1):  # The first one traces.
        for name, adapt in (("few", few), ("all", all_modules)):
            start = time.process_time()
            adapt(examples, steps=STEPS)
            if turn:
                seconds[name].append((time.process_time() - start) / STEPS)
    ratio = statistics.median(a / b for a, b in zip(seconds["all"], seconds["few"], strict=True))
    step = statistics.median(seconds["few"])
    what = f"an adaptation step, 12 of {LAYERS} layers against all modules"
    found = f"{ratio:.2f} x; {step:.2f} s of the processor a step of {SAMPLES} samples"
    return Row("S8", what, f">= {SPEED_UP} x", found, ratio >= SPEED_UP)
