"""The ranges that a search tries: the `search` section of a config, checked, and settings of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from meta_shrink.errors import UsageError
from meta_shrink.sections import call
from meta_shrink.training.meta_step import share_of_replica
from meta_shrink.training.multi_worker import Workers

JOINED = (
    "A search joins no processes (--strategy=multi_worker, or a TF_CONFIG that names several): "
    "start the same command with --strategy=one and one folder in each; they share its trials."
)
KINDS = ("log", "linear", "int", "choice")


class Search(NamedTuple):
    """The `search` section.

    num_trials: settings to try. steps: meta-steps of each. space: rows (dotted config key, kind,
    low, high); for kind "choice" (key, kind, choices).
    """

    num_trials: int
    steps: int
    space: Sequence[Sequence[Any]]


def with_settings(
    config: Mapping[str, Any], settings: Mapping[str, Any], steps: int
) -> dict[str, Any]:
    """A copy of the config with dotted keys set and train.steps = steps.

    Raises:
      UsageError: a key that the config does not have.
    """
    changed = copy.deepcopy(dict(config))
    for key, value in {**settings, "train.steps": steps}.items():
        *sections, name = key.split(".")
        place: Any = changed
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict) or name not in place:
            raise UsageError(f"search.space has {key!r}, which the config does not have.")
        place[name] = value
    return changed


def search_of(config: Mapping[str, Any]) -> Search:
    """The `search` section of a config, of which trials can be made.

    Raises:
      UsageError: no search space, or a bad row in it.
    """
    search = call("search", Search, config["search"])
    if not search.space or search.num_trials < 1 or search.steps < 1:
        raise UsageError(
            f"search has num_trials={search.num_trials}, steps={search.steps} and "
            f"{len(search.space)} ranges; expected at least 1 each."
        )
    for row in search.space:
        if len(row) < 3 or row[1] not in KINDS:
            raise UsageError(
                f"search.space row {list(row)}: expected (key, kind, low, high) with kind of "
                f"{', '.join(KINDS)}; (key, 'choice', choices)."
            )
        with_settings(config, {row[0]: 0}, search.steps)
        try:
            distribution_of(row)
        except (TypeError, ValueError) as error:
            raise UsageError(f"search.space row {list(row)}: {error}") from error
    return search


def check_shares(
    search: Search, config: Mapping[str, Any], strategy: tf.distribute.Strategy
) -> None:
    """Refuse a strategy on whose replicas no trial could be trained.

    Raises:
      UsageError: it joins several processes, or its replicas cannot share a meta-batch.
    """
    if Workers(strategy).count > 1:
        raise UsageError(JOINED)
    if all(row[0] != "train.meta_batch_size" for row in search.space):  # Else each trial's own.
        share_of_replica(config["train"]["meta_batch_size"], strategy.num_replicas_in_sync)


def distribution_of(row: Sequence[Any]) -> BaseDistribution:
    """What a sampler draws from for a row of the space; the row was checked."""
    _, kind, *bounds = row
    if kind == "choice":
        return CategoricalDistribution(list(bounds[0]))
    if kind == "int":
        return IntDistribution(*bounds, log=bounds[0] > 0)
    return FloatDistribution(*bounds, log=kind == "log")
