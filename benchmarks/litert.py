"""The LiteRT export beside the SavedModel it stands for: size, speed, difference, accuracy.

    python -m benchmarks.litert --workdir=runs/omniglot [--modules=conv_3,output] [--num_tasks=30]

Held-out tasks adapt on the device side (ai-edge-litert, one thread) and by the SavedModel; both
serve the held-out examples. Differences are relative to the largest output. Prints a Markdown
table, a row for each quantisation.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from ai_edge_litert.interpreter import Interpreter

from meta_shrink.adapters.backbone_info import argument_name
from meta_shrink.backbones.litert.model import QUANTISATIONS, litert_model
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.writing import save_backbone
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.experiments.export import heldout_tasks
from meta_shrink.experiments.export_source import source_from_workdir
from meta_shrink.programs import cli
from meta_shrink.programs.selection import selected
from meta_shrink.training.distribution import set_cpu_threads

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a trained run.", required=True)
NUM_TASKS = flags.DEFINE_integer("num_tasks", 30, "Held-out tasks.", lower_bound=1)
COLUMNS = (
    "weights",
    "kB to serve",
    "kB with adaptation",
    "ms a prediction",
    "ms an adaptation step",
    "largest difference served",
    "accuracy, LiteRT",
    "accuracy, TensorFlow",
)


class Reference(NamedTuple):
    """A task adapted by the SavedModel: its examples, tensors, and outputs on the held-out ones."""

    train: Any
    heldout: Any
    tensors: dict[str, np.ndarray]
    outputs: np.ndarray


def main(argv):
    """Measure and print; see the module's docstring."""
    cli.no_arguments(argv)
    set_cpu_threads(cpu_threads=1)
    source, experiment = source_from_workdir(WORKDIR.value, **selected())
    tasks = list(heldout_tasks(experiment, NUM_TASKS.value))
    with tempfile.TemporaryDirectory() as folder:
        save_backbone(source, folder)
        references = adapted(Backbone.load(folder), tasks)
    steps = source.adaptation.steps
    print(f"{', '.join(source.selection.modules)}; {len(tasks)} tasks, {steps} steps\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for quantise in QUANTISATIONS:
        print(f"| {' | '.join(row(source, quantise, references, steps))} |", flush=True)


def adapted(backbone: Backbone, tasks) -> list[Reference]:
    """The tasks by the SavedModel."""
    adapt = TaskAdaptation(backbone)
    results = []
    for train, heldout in tasks:
        tensors = adapt(train).tensors
        outputs = backbone.serve(heldout.inputs, tensors)["outputs"]
        results.append(Reference(train, heldout, tensors, outputs))
    return results


def row(source, quantise: str, references: list[Reference], steps: int) -> list[str]:
    """One row of the table."""
    served = litert_model(source, quantise=quantise)
    count = len(references[0].train.targets)
    content = litert_model(source, quantise=quantise, examples=count)
    interpreter = Interpreter(model_content=content, num_threads=1)
    serve, adapt = map(interpreter.get_signature_runner, ("serve", "adapt"))
    phi = interpreter.get_signature_runner("default_adapter")()
    start = {k: v for k, v in phi.items() if k in adapt.get_input_details()}
    differences, accuracies = [], []
    for task in references:
        same = serve(**inputs_of(task.heldout), **arguments(task.tensors))["outputs"]
        largest = np.abs(task.outputs).max()
        differences.append(np.abs(same - task.outputs).max() / largest)
        own = adapt(**given(task.train), num_steps=np.int32(steps), **start)
        outputs = serve(**inputs_of(task.heldout), **own)["outputs"]
        accuracies.append([accuracy(o, task.heldout.targets) for o in (outputs, task.outputs)])
    first = references[0]
    one = {name: value[:1] for name, value in inputs_of(first.heldout).items()}
    milliseconds = median_ms(lambda: serve(**one, **arguments(first.tensors)), 200)
    long, short = (
        median_ms(lambda n=n: adapt(**given(first.train), num_steps=np.int32(n), **start), 15)
        for n in (110, 10)
    )
    on_device, by_tensorflow = np.mean(accuracies, axis=0)
    return [
        quantise,
        f"{len(served) / 1e3:,.0f}",
        f"{len(content) / 1e3:,.0f}",
        f"{milliseconds:.3f}",
        f"{(long - short) / 100:.3f}",
        f"{np.max(differences):.1e}",
        f"{on_device:.4f}",
        f"{by_tensorflow:.4f}",
    ]


def inputs_of(examples) -> dict[str, np.ndarray]:
    """Inputs as the signatures take them."""
    return {name: np.asarray(value, np.float32) for name, value in examples.inputs.items()}


def given(examples) -> dict[str, np.ndarray]:
    """Inputs and targets of `adapt`."""
    return inputs_of(examples) | {"targets": examples.targets}


def arguments(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Adapter tensors as arguments."""
    return {argument_name(name): value for name, value in tensors.items()}


def accuracy(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Share of right labels."""
    return float(np.mean(outputs.argmax(-1) == targets))


def median_ms(call: Callable[[], Any], count: int) -> float:
    """Median milliseconds of a call that has run once before."""
    call()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    cli.run(main)
