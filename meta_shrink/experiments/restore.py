"""Phi and its experiment from a workdir."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from meta_shrink.errors import ArtefactError, MetaShrinkError
from meta_shrink.experiments.build import Experiment, build
from meta_shrink.experiments.components import Components, installed_components, require_components
from meta_shrink.runs.checkpoints import Checkpoints
from meta_shrink.runs.workdir import read_config
from meta_shrink.training.meta_state import MetaState
from meta_shrink.types import MetaParams


def restore(
    workdir: str | os.PathLike[str],
    components: Components | None = None,
    *,
    log: Callable[[str], Any] = print,
) -> tuple[Experiment, MetaParams, int]:
    """The experiment of a workdir, its Phi at the newest intact checkpoint, and its meta-step.

    Args:
      components: the tables of the config's names; installed_components() by default.

    Raises:
      UsageError, ArtefactError: no workdir, no checkpoint, or a broken one.
    """
    workdir = os.fspath(workdir)
    experiment = _build(workdir, components or installed_components())
    state = MetaState.create(experiment.initial, {}, names=experiment.registry.paths)
    checkpoints = Checkpoints(
        os.path.join(workdir, "checkpoints"), state.learned(), log=log, is_chief=False
    )
    step = checkpoints.restore()
    if step is None:
        raise ArtefactError(
            f"{workdir} holds no checkpoint yet; train it first with meta-shrink train."
        )
    return experiment, state.meta(), step


def _build(workdir: str, components: Components) -> Experiment:
    """The experiment of a recorded config, which may be of another version, or not what it was."""
    config = read_config(workdir)
    try:
        require_components(config, components, workdir)
        return build(config, components)
    except MetaShrinkError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise ArtefactError(
            f"{os.path.join(workdir, 'config.json')} does not describe an experiment "
            f"({type(error).__name__}: {error}): restore it."
        ) from error
