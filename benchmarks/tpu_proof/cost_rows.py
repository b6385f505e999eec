"""What is costed: a part of an experiment's meta-step, on a chip, alone or with others."""

from typing import NamedTuple

# The paper's three experiments, at its sizes. File of configs/, its argument.
EXPERIMENTS = {
    "sinusoid": ("sinusoid", "sigma_reptile"),
    "omniglot_alphabets": ("omniglot_alphabets", "large_sigma_imaml"),
    "speech": ("speech", "sigma_reptile"),
}
PARTS = ("step", "gradient", "product")
CPU, V5E, V5P = "cpu", "v5e:2x2", "v5p:2x2x1"
MORE = (4, 16)  # tasks in one batch; times the size of mini-batches


class Part(NamedTuple):
    """A part of the meta-step of an experiment.

    topology: CPU to time it on this machine. tasks: as one batch (tf.vectorized_map) if more than
    one. times: mini-batches of so many times the config's size. precision:
    device.matmul_precision.
    """

    experiment: str
    part: str = PARTS[0]
    topology: str = V5E
    tasks: int = 1
    times: int = 1
    precision: str = "float32"

    @property
    def name(self) -> str:
        """Its name, on the command line and of its file."""
        return "-".join(map(str, self))


def part_named(name: str) -> Part:
    """The part of a name."""
    experiment, part, topology, tasks, times, precision = name.split("-")
    return Part(experiment, part, topology, int(tasks), int(times), precision)


def all_parts() -> list[Part]:
    """Every part, small networks first."""
    found = []
    for name in EXPERIMENTS:
        for topology in (CPU, V5E, V5P):
            found += [Part(name, part, topology) for part in PARTS]
        found += [Part(name, part, precision="default") for part in PARTS]
        found += [Part(name, "gradient", tasks=count) for count in MORE]
        found += [Part(name, "gradient", times=count) for count in MORE]
    return found
