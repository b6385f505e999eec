"""Size against quality of adapters that hold the k modules of largest sigma^2, and their speed.

    python -m benchmarks.adapter_size --workdir=W --out=docs/results/adapter_size/NAME \
        [--num_tasks=100] [--encodings=f32,f16,int8_delta] [--ks=1,2,3,5,9]

For each k, for the modules that the run's config selects and for all modules: exports a backbone,
adapts the same held-out tasks with it, writes each adapter in every encoding, and loads and serves
it, all of it as in use. The k take turns task by task; a speed-up is the median of the tasks' own
ratios, and a step is timed without the first one of each task, which may trace. Prints the tables
and writes sizes.md, sizes.csv and sizes.png; of several workdirs (--workdir=A,B), each into a
folder of its own name below --out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from absl import flags

from benchmarks.adapter_size_measure import Study, study
from benchmarks.adapter_size_output import csv_text, figure, markdown
from meta_shrink.adapters.manifest import ENCODINGS
from meta_shrink.durable_files import write_atomically
from meta_shrink.errors import UsageError
from meta_shrink.experiments.defaults import Device
from meta_shrink.programs import cli
from meta_shrink.runs.workdir import read_config
from meta_shrink.sections import call
from meta_shrink.training.distribution import set_cpu_threads

WORKDIR = flags.DEFINE_list("workdir", None, "Folders of trained runs.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)
NUM_TASKS = flags.DEFINE_integer("num_tasks", 100, "Held-out tasks.", lower_bound=2)
ENCODING_LIST = flags.DEFINE_list("encodings", ["f32", "f16", "int8_delta"], "Of adapters.")
KS = flags.DEFINE_list("ks", ["1", "2", "3", "5", "9"], "Numbers of task-specific modules.")


def main(argv):
    """Measure, print and write; see the module's docstring."""
    cli.no_arguments(argv)
    ks, encodings = numbers(KS.value), known(ENCODING_LIST.value)
    devices = [read_config(workdir)["device"] for workdir in WORKDIR.value]
    if any(device != devices[0] for device in devices):
        raise UsageError("These workdirs differ in their section device: measure them one by one.")
    set_cpu_threads(cpu_threads=call("device", Device, devices[0]).cpu_threads)
    for workdir, out in outputs(WORKDIR.value, OUT.value):
        found = study(workdir, ks=ks, encodings=encodings, num_tasks=NUM_TASKS.value)
        write(found, out)
        print(markdown(found))


def numbers(texts: Sequence[str]) -> list[int]:
    """Numbers of modules.

    Raises:
      UsageError: one is not a positive whole number.
    """
    for text in texts:
        if not text.isdecimal() or int(text) < 1:
            raise UsageError(f"--ks has {text!r}; expected positive whole numbers.")
    return [int(text) for text in texts]


def known(encodings: Sequence[str]) -> list[str]:
    """Encodings without repeats, the first one the reference.

    Raises:
      UsageError: an unknown one, or none.
    """
    if not encodings or set(encodings) - set(ENCODINGS):
        raise UsageError(
            f"--encodings is {','.join(encodings)!r}; expected some of {', '.join(ENCODINGS)}."
        )
    return list(dict.fromkeys(encodings))


def outputs(workdirs: Sequence[str], out: str) -> list[tuple[str, str]]:
    """(workdir, folder of its results).

    Raises:
      UsageError: two would write into one folder.
    """
    if len(workdirs) == 1:
        return [(workdirs[0], out)]
    names = [os.path.basename(os.path.abspath(workdir)) for workdir in workdirs]
    if len(set(names)) < len(names):
        raise UsageError("Two workdirs have the same name: measure them one by one.")
    return [
        (workdir, os.path.join(out, name)) for workdir, name in zip(workdirs, names, strict=True)
    ]


def write(found: Study, out: str) -> None:
    """sizes.md, sizes.csv and sizes.png."""
    os.makedirs(out, exist_ok=True)
    for name, content in (("sizes.md", markdown(found)), ("sizes.csv", csv_text(found))):
        write_atomically(os.path.join(out, name), content.encode())
    figure(found).savefig(os.path.join(out, "sizes.png"), dpi=150)


if __name__ == "__main__":
    cli.run(main)
