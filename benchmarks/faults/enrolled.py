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
from benchmarks.speaker_network import LAYERS, LEVELS, TASK_SPECIFIC, selection_of, speaker_source
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.writing import save_backbone
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.enrolment.task_files import Examples
from meta_shrink.prior import BYTES_PER_PARAMETER

FEW = f"{TASK_SPECIFIC} of {LAYERS}"
SAMPLES, STEPS = 256, 4
LARGEST_SHARE, SPEED_UP = 0.07, 1.5


def speaker_backbone(folder: str) -> str:
    """The folder of the network with 12 task-specific layers, made when it is first asked for."""
    path = os.path.join(folder, "speaker")
    if not os.path.exists(path):
        apart(lambda: save_backbone(speaker_source(), path) and None)
    return path


def rows(folder: str, *, rounds: int) -> Iterator[Row]:
    """S7: bytes of adapters in int8. S8: an adaptation step of 12 layers against one of all."""
    source = speaker_source()
    whole = sum(source.registry.sizes) * BYTES_PER_PARAMETER
    everything = selection_of(source.registry, source.registry.names)
    adaptations, sizes = [], []
    for selection in (source.selection, everything):
        path = os.path.join(folder, f"speaker_{len(selection.modules)}_modules")
        save_backbone(source._replace(selection=selection), path)
        backbone = Backbone.load(path)
        adaptations.append(TaskAdaptation(backbone))
        theta, facts = backbone.default.tensors, TaskFacts("speaker", 0, 0, 0)
        sizes.append(len(backbone.seal(theta, facts, encoding="int8_delta")))
    share = sizes[0] / whole
    goal = f"<= {LARGEST_SHARE:.0%} of the network in float32"
    found = f"{share:.1%}, where they are {source.selection.share:.0%} of the parameters"
    yield Row("S7", f"bytes of an adapter of {FEW} layers in int8", goal, found,
              share <= LARGEST_SHARE)  # fmt: skip
    few, all_modules = adaptations
    yield _speed(few, all_modules, rounds)


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
    what = f"an adaptation step, {FEW} layers against all modules"
    found = f"{ratio:.2f} x; {step:.2f} s of the processor a step of {SAMPLES} samples"
    return Row("S8", what, f">= {SPEED_UP} x", found, ratio >= SPEED_UP)
