"""What is compiled: an experiment's config, an algorithm, a topology, a number of replicas."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from benchmarks.settings import config_of

# In the order in which they are compiled: small ones first. File of configs/, its argument.
EXPERIMENTS = {
    "sinusoid": ("sinusoid", "{}"),
    "omniglot_few_shot": ("omniglot_few_shot", "5w1s_{}"),
    "image_folder": ("image_folder_few_shot", "grocery84_5w1s_{}"),
    "omniglot_alphabets": ("omniglot_alphabets", "large_{}"),
    "speech": ("speech", "quick_{}"),
}
ALGORITHMS = (
    "sigma_imaml",
    "sigma_maml",
    "sigma_reptile",
    "imaml",
    "maml",
    "meta_sgd",
    "fomaml",
    "reptile",
)
TOPOLOGY, REPLICAS = "v5e:2x2", (1, 4)
# One algorithm of each experiment is compiled for these too, a replica on every chip.
OTHERS = {"v5e:4x4": 16, "v5p:2x2x1": 4, "v6e:2x2": 4}
# The paper's argument in bytes: sigma-MAML against sigma-iMAML at these adaptation steps.
STEPS, COMPARED = (1, 10, 100), ("sinusoid", "omniglot_few_shot", "omniglot_alphabets")
# With its usual effort libtpu takes ten minutes to an hour for each program of these, most of it
# for products of float32 in convolutions, and a tenth with its lowest. (XLA's effort levels: 0 is
# the usual one.)
LARGE, LOW_EFFORT = ("image_folder", "omniglot_alphabets", "speech"), -1.0
# Speech has configs of four algorithms; the others are one of these without the prior.
SPEECH = {"maml": "sigma_maml", "fomaml": "sigma_maml", "meta_sgd": "sigma_maml"}
SPEECH |= {"imaml": "sigma_imaml"}


class Row(NamedTuple):
    """One program to compile. steps: of adaptation, 0 for the config's."""

    experiment: str
    algorithm: str
    topology: str = TOPOLOGY
    replicas: int = 1
    steps: int = 0

    @property
    def effort(self) -> float:
        """Of the compiler: LOW_EFFORT for large networks, else 0."""
        return LOW_EFFORT if self.experiment in LARGE else 0.0

    @property
    def name(self) -> str:
        """Its name in the table of what was found, and on the command line."""
        steps = f"-{self.steps}_steps" if self.steps else ""
        return f"{self.experiment}-{self.algorithm}-{self.topology}-x{self.replicas}{steps}"


def all_rows() -> list[Row]:
    """Every row, small networks first; of a network those first that need no other replica."""
    return list(dict.fromkeys(_rows()))


def _rows() -> Iterator[Row]:
    for experiment in EXPERIMENTS:
        for replicas in REPLICAS:
            yield from (Row(experiment, name, TOPOLOGY, replicas) for name in ALGORITHMS)
            if replicas == 1 and experiment in COMPARED:
                yield from (compared(experiment, n, s) for n in ALGORITHMS[:2] for s in STEPS)
        yield from (Row(experiment, ALGORITHMS[0], *other) for other in OTHERS.items())


def compared(experiment: str, algorithm: str, steps: int) -> Row:
    """The row of an algorithm at some adaptation steps."""
    return Row(experiment, algorithm, steps=steps)


def row_named(name: str) -> Row:
    """The row of a name."""
    return {row.name: row for row in all_rows()}[name]


def row_config(row: Row) -> dict[str, Any]:
    """The row's config, with XLA, its meta-batch rounded up to a multiple of the replicas."""
    name, argument = EXPERIMENTS[row.experiment]
    near = SPEECH.get(row.algorithm) if row.experiment == "speech" else None
    config = config_of(name, argument.format(near or row.algorithm)).to_dict()
    if near:
        _without_prior(config, row.algorithm)
    config["train"]["jit"] = "on"
    config["train"]["meta_batch_size"] += -config["train"]["meta_batch_size"] % row.replicas
    config["adapt"]["steps"] = row.steps or config["adapt"]["steps"]
    config["eval"]["num_tasks"] = 1  # Nothing is evaluated, and stand-ins are few.
    return config


def _without_prior(config: dict[str, Any], algorithm: str) -> None:
    rates = config["meta_optimizer"].pop("log_sigma2")
    if algorithm != "imaml":
        config["prior"]["sigma2"] = float("inf")
    if algorithm == "fomaml":
        config["algorithm"] = {"name": "fomaml"}
    if algorithm == "meta_sgd":
        config["adapt"]["rate_per"] = "parameter"
        config["meta_optimizer"]["log_alpha"] = rates
