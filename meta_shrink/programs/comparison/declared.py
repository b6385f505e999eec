"""A declared comparison: methods x seeds, checked before anything runs.

A set is a Python file, executed, whose get_config() returns a ConfigDict with the keys of
`Declaration`; its `runs` are dicts with the keys of `DeclaredRun`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags
from ml_collections import config_flags

from meta_shrink.errors import UsageError
from meta_shrink.programs import cli
from meta_shrink.programs.flag_sentences import flag_sentence
from meta_shrink.programs.shipped import as_dict, find_config
from meta_shrink.sections import call

EVALUATE_FLAGS = ("num_tasks", "steps", "horizon", "kinds", "group_tasks", "group_horizon")
EVALUATE_FLAGS += ("inductive", "cpu_threads")


class Declaration(NamedTuple):
    """A set.

    name: of the comparison. runs: the methods. seeds: every method runs with each. evaluate: flags
    of evaluate by name; evaluate_others: those of all seeds but the first, if they differ.
    """

    name: str
    runs: Sequence[Mapping[str, Any]]
    seeds: Sequence[int]
    evaluate: Mapping[str, Any] = {}
    evaluate_others: Mapping[str, Any] | None = None


class DeclaredRun(NamedTuple):
    """A method.

    config: FILE or FILE:ARGUMENT. label: its name in the table; left out: the argument. overrides:
    settings by dotted key. x, x_label: its place on the x-axis, and what that is (a panel of the
    figure for each x_label).
    """

    config: str
    label: str = ""
    overrides: Mapping[str, Any] = {}
    x: float | None = None
    x_label: str = ""


class Run(NamedTuple):
    """A method with one seed.

    name: of its folder. config: what train records. train, evaluate: flags.
    """

    name: str
    label: str
    x: float | None
    x_label: str
    seed: int
    config: dict[str, Any]
    train: list[str]
    evaluate: list[str]


class Comparison(NamedTuple):
    """A checked set. runs: all methods with the first seed, then with the second, ..."""

    name: str
    runs: list[Run]

    def methods(self) -> list[list[Run]]:
        """The runs of each method, in the order of the set."""
        found: dict[Any, list[Run]] = {}
        for run in self.runs:
            found.setdefault((run.label, run.x_label, run.x), []).append(run)
        return list(found.values())


def read_set(value: Any, imports: Sequence[str] = ()) -> Comparison:
    """The comparison that a set declares.

    Args:
      value: what its get_config() returned.
      imports: modules with components of the user's own, for every run.

    Raises:
      UsageError: an unknown key, config, setting or flag, no run or seed, two runs of one name.
    """
    declared = call("set", Declaration, as_dict("set", value))
    seeds = list(declared.seeds)
    if not seeds or len(set(seeds)) < len(seeds) or any(type(seed) is not int for seed in seeds):
        raise UsageError(f"The set has seeds={seeds}; expected different integers, at least one.")
    if not declared.runs:
        raise UsageError("The set has no runs; expected at least one.")
    methods = [_method(options) for options in declared.runs]
    if len({method.x is None for method in methods}) > 1:
        raise UsageError("Some runs of the set have an x and others have none.")
    others = declared.evaluate if declared.evaluate_others is None else declared.evaluate_others
    wanted = {seed: others for seed in seeds} | {seeds[0]: declared.evaluate}
    runs = [
        _run(method, seed, evaluate_flags(wanted[seed]), imports)
        for seed in seeds
        for method in methods
    ]
    names = Counter(run.name for run in runs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UsageError(
            f"Runs of the set share the name {twice[0]!r}; give each another label (or x)."
        )
    return Comparison(declared.name, runs)


def _method(options: Mapping[str, Any]) -> DeclaredRun:
    method = call("runs", DeclaredRun, options)
    label = method.label or method.config.rpartition(":")[2]
    if "seed" in method.overrides:
        raise UsageError(f"Run {label!r} overrides the seed; list it in the set's seeds.")
    return method._replace(label=label)


def _run(method: DeclaredRun, seed: int, evaluate: list[str], imports: Sequence[str] = ()) -> Run:
    settings = {**method.overrides, "seed": seed}
    train = [f"--config={find_config(method.config)}"]
    train += [f"--config.{key}={value}" for key, value in settings.items()]
    at = [] if method.x is None else [method.x_label, f"{method.x:g}"]
    parts = [re.sub(r"[^\w.-]+", "_", part).strip("_") for part in (method.label, *at)]
    name = "_".join([*filter(None, parts), f"seed{seed}"])
    config = load_config(method.label, train)
    if imports:
        config["imports"] = [*dict.fromkeys(imports)]  # As training records them.
    return Run(name, method.label, method.x, method.x_label, seed, config, train, evaluate)


def load_config(label: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The config that train has with these flags.

    Raises:
      UsageError: there is no such config or setting.
    """
    values, argv = flags.FlagValues(), ["train", *arguments]
    config_flags.DEFINE_config_file("config", None, flag_values=values, sys_argv=argv)
    try:
        values(argv)
        return as_dict("config", values["config"].value)
    except cli.FLAG_ERRORS as error:
        raise UsageError(f"Run {label!r}: {flag_sentence(error, argv)}") from error


def evaluate_flags(options: Mapping[str, Any]) -> list[str]:
    """The options of a set as flags of evaluate.

    Raises:
      UsageError: it has no such flag.
    """
    if unknown := [name for name in options if name not in EVALUATE_FLAGS]:
        raise UsageError(
            f"The set's evaluate has {', '.join(unknown)}; expected of {', '.join(EVALUATE_FLAGS)}."
        )
    return [
        f"--{name}={','.join(value) if isinstance(value, list | tuple) else value}"
        for name, value in options.items()
    ]
