"""The ranges that a search tries: the `search` section of a config, checked, and settings of it."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import tensorflow as tf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from meta_shrink.errors import UsageError
from meta_shrink.experiments.defaults import Schedule
from meta_shrink.sections import call, section_of
from meta_shrink.training.meta_step import share_of_replica
from meta_shrink.training.multi_worker import Workers

JOINED = (
    "A search joins no processes (--strategy=multi_worker, or a TF_CONFIG that names several): "
    "start the same command with --strategy=one and one folder in each; they share its trials."
)
# What measures the trials, or is the search's own.
NOT_SEARCHED, NOT_SETTINGS = ("eval.", "search."), ("name", "train.steps", "train.eval_every")
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
        section, name = section_of(changed, key)
        if section is None or (name not in section and key not in NOT_SETTINGS):
            raise UsageError(f"search.space has {key!r}, which the config does not have.")
        section[name] = value
    return changed


def search_of(config: Mapping[str, Any]) -> Search:
    """The `search` section of a config, of which trials can be made.

    Raises:
      UsageError: no search space, or a bad row in it.
    """
    search = call("search", Search, config.get("search", {}))
    if not search.space or search.num_trials < 1 or search.steps < 1:
        raise UsageError(
            f"search has num_trials={search.num_trials}, steps={search.steps} and "
            f"{len(search.space)} ranges; expected at least 1 each."
        )
    seen: set[str] = set()
    for row in search.space:
        try:
            _check_row(row, config, seen)
            distribution_of(row)
        except UsageError:
            raise
        except (TypeError, ValueError) as error:
            raise UsageError(f"search.space row {_as_written(row)}: {error}") from error
        seen.add(row[0])
    return search


def _check_row(row: Any, config: Mapping[str, Any], seen: Collection[str]) -> None:
    """Refuse what no trial could try, or what a search would leave out without a word.

    Args:
      seen: keys of the rows before.

    Raises:
      ValueError: what is wrong with the row.
      UsageError: a key that the config does not have.
    """
    if not _is_row(row):
        raise ValueError(
            f"expected (key, kind, low, high) with kind of {', '.join(KINDS)}; "
            "(key, 'choice', choices)."
        )
    key, kind, *bounds = row
    with_settings(config, {key: 0}, 1)
    if key.startswith(NOT_SEARCHED) or key in NOT_SETTINGS:
        raise ValueError(f"{key} is no setting of a trial: all have those of the search.")
    if key in seen:
        raise ValueError(f"{key} has a range already; one each.")
    if kind == "choice":
        _check_choices(bounds)
        return
    counted, words = (Integral, "whole numbers") if kind == "int" else (Real, "finite numbers")
    fit = [n for n in bounds if isinstance(n, counted) and not isinstance(n, bool)]
    if len(bounds) != 2 or len(fit) != 2 or not all(map(math.isfinite, fit)):
        raise ValueError(f"expected two {words} after {kind!r}, the least and the largest.")


def _is_row(row: Any) -> bool:
    if not isinstance(row, (list, tuple)) or len(row) < 3:
        return False
    return isinstance(row[0], str) and row[1] in KINDS


def _check_choices(bounds: Sequence[Any]) -> None:
    if len(bounds) != 1 or not isinstance(bounds[0], (list, tuple)):
        raise ValueError("expected one list after 'choice', of all values to choose from.")
    texts = [repr(choice) for choice in bounds[0]]
    if len(set(texts)) < len(texts):
        raise ValueError("a choice stands there twice.")


def _as_written(row: Any) -> str:
    return repr(list(row)) if isinstance(row, (list, tuple)) else repr(row)


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
        size = config["train"].get("meta_batch_size", Schedule().meta_batch_size)
        share_of_replica(size, strategy.num_replicas_in_sync)


def distribution_of(row: Sequence[Any]) -> BaseDistribution:
    """What a sampler draws from for a row of the space; the row was checked."""
    _, kind, *bounds = row
    if kind == "choice":
        with warnings.catch_warnings():  # Of lists ([64, 64] for model.hidden), which JSON keeps.
            warnings.simplefilter("ignore", UserWarning)
            return CategoricalDistribution(list(bounds[0]))
    if kind == "int":
        return IntDistribution(*bounds, log=bounds[0] > 0)
    return FloatDistribution(*bounds, log=kind == "log")
