"""The tasks of a config, from data that may be in an object store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meta_shrink.experiments.components import installed_components
from meta_shrink.remote.mirror import local_copy
from meta_shrink.remote.store import is_remote
from meta_shrink.sections import named
from meta_shrink.tasks import TASKS
from meta_shrink.types import TaskSource


def present_data(config: Mapping[str, Any]) -> str:
    """The hash of the data that a recorded config would be built with now (TaskSource.data).

    Raises:
      UsageError, DataError, ArtefactError: of task_source; of modules that cannot be imported.
    """
    return task_source(config, installed_components(config.get("imports", ())).tasks).data


def task_source(config: Mapping[str, Any], tasks: Mapping[str, Any]) -> TaskSource:
    """What the section `task` of a config describes.

    Our own tasks read a copy of a data_dir that is a URL; a user's own gets the URL.

    Args:
      tasks: the builders that names stand for.

    Raises:
      UsageError, DataError: of the builder, or nothing is there.
      ArtefactError: a store that cannot be read.
    """
    section = config["task"]
    name, place = section.get("name"), str(section.get("data_dir", ""))
    if is_remote(place) and name in TASKS and tasks.get(name) is TASKS[name]:
        section = {**section, "data_dir": local_copy(place)}
    return named("task", tasks, section, seed=config["seed"])
