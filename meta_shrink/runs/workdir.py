"""The run directory: one owner, one config, its logs.

    DIR/config.json     effective config, canonical JSON    DIR/metrics.jsonl   rows, reproducible
    DIR/checkpoints/    see checkpointing.py                DIR/timing.jsonl    rows that may differ
    DIR/report/         made by the report program          DIR/.lock           held by the owner

DIR lies on a file system that this machine mounts (POSIX rename and flock).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from meta_shrink.durable_files import (
    from_json,
    open_regular,
    read_json,
    real_directory,
    refuse_link,
    remove_leftovers,
    to_json,
    write_atomically,
)
from meta_shrink.errors import ArtefactError, UsageError, refuse_url, unwritable
from meta_shrink.runs.locks import hold_lock
from meta_shrink.runs.metrics_log import MetricsLog

__all__ = ["MetricsLog", "Workdir", "open_workdir", "read_config"]

_WRITTEN = ("config.json", "metrics.jsonl", "timing.jsonl")
_ABSENT = "(absent)"
# Keys that runs of former versions have not recorded.
RECORDED_LATER = ("data", "model.answers", "task.heldout_speakers")
CHANGE_ADVICE = "Pass --allow_config_change to go on with the new one, or choose another workdir."


class Workdir:
    """An open run directory; leaving the `with` block releases it. Made by `open_workdir`.

    path, checkpoints_dir, report_dir: absolute paths; report_dir is made by who writes into it.
    metrics, timing: logs of rows; only `metrics` is bit-equal between repeated runs.
    changed: dotted keys of the config that differ from those of the run so far.
    """

    def __init__(
        self, path: str, *, lock: int | None = None, log: Callable[[str], object] = print
    ) -> None:
        self.path = os.path.abspath(path)
        self.checkpoints_dir = os.path.join(self.path, "checkpoints")
        self.report_dir = os.path.join(self.path, "report")
        self.metrics = self._open_log("metrics.jsonl", lock, log)
        self.timing = self._open_log("timing.jsonl", lock, log)
        self._lock, self.changed = lock, tuple[str, ...]()

    def _open_log(self, name: str, lock: int | None, log: Callable[[str], object]) -> MetricsLog:
        return MetricsLog(os.path.join(self.path, name), read_only=lock is None, log=log)

    def close(self) -> None:
        """Release the lock. The lock file stays: removing it could let two owners in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Workdir:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_workdir(
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    *,
    allow_config_change: bool = False,
    is_chief: bool = True,
    log: Callable[[str], object] = print,
) -> Workdir:
    """Make or reopen a run directory, own it, and record its config.

    No key of the config may differ from the recorded one: any may change the numbers of the run.
    Processes of a job other than its chief (is_chief=False) neither lock nor write.

    Raises:
      UsageError: the directory cannot be written, another process owns it, or the config differs
        (allow_config_change=True records the new one instead).
      ArtefactError: the recorded config is damaged or missing beside checkpoints.
    """
    path = os.fspath(path)
    refuse_url("The workdir", path)
    if not is_chief:
        return Workdir(path, log=log)
    if not path.strip():
        raise UsageError("The workdir is empty: name the folder of the run.")
    try:
        os.makedirs(path, exist_ok=True)
        real_directory(os.path.join(path, "checkpoints"))
        refuse_link(os.path.join(path, "tensorboard"))
        workdir = Workdir(path, lock=hold_lock(os.path.join(path, ".lock")), log=log)
    except OSError as error:
        raise unwritable(error.filename or path, error) from error
    try:
        _refuse_odd_files(path)
        remove_leftovers(path, *_WRITTEN, "evaluation.json")
        told = record_config(path, to_json(config), allow_change=allow_config_change, log=log)
        workdir.changed = tuple(line.partition(":")[0] for line in told)
    except OSError as error:
        workdir.close()
        raise unwritable(path, error) from error
    except BaseException:
        workdir.close()
        raise
    return workdir


def _refuse_odd_files(path: str) -> None:
    """Files that the run writes are regular files of its own, or not there yet."""
    for name in _WRITTEN:
        file = os.path.join(path, name)
        if os.path.lexists(file):
            try:
                os.close(open_regular(file, os.O_RDONLY))
            except OSError as error:
                raise ArtefactError(
                    f"{file} cannot be used ({error.strerror}): remove it, or choose another "
                    "workdir."
                ) from error


def record_config(
    path: str,
    config: dict[str, Any],
    *,
    allow_change: bool = False,
    advice: str = CHANGE_ADVICE,
    log: Callable[[str], object] = print,
) -> list[str]:
    """Write config.json into a folder, or check that the one there says the same.

    Returns:
      What changes, "key: recorded -> new" each.

    Raises:
      UsageError: it says something else; the sentence has the keys.
      ArtefactError: it is damaged, or missing where there are checkpoints.
      OSError: it cannot be written.
    """
    file = os.path.join(path, "config.json")
    content = recorded_text(config)
    differing = _differing_keys(path, config, allow_change)
    if differing and not allow_change:
        raise UsageError(
            f"The workdir {path} was made with another config: {'; '.join(differing)}. {advice}"
        )
    if differing:
        log(f"The config of {path} changes: {'; '.join(differing)}.")
    if differing or not os.path.exists(file):
        write_atomically(file, content.encode())
    return differing


def recorded_text(config: Mapping[str, Any]) -> str:
    """A config as config.json has it.

    Raises:
      UsageError: it holds what JSON does not.
    """
    try:
        return json.dumps(to_json(config), sort_keys=True, indent=2, allow_nan=False) + "\n"
    except TypeError as error:
        raise UsageError(f"The config holds a value that JSON cannot hold: {error}.") from error


def _differing_keys(path: str, config: dict[str, Any], allow_change: bool) -> list[str]:
    """One "key: recorded -> new" for each key that differs from the recorded config."""
    if not os.path.exists(os.path.join(path, "config.json")):
        if _has_checkpoints(path) and not allow_change:
            raise ArtefactError(
                f"{path} holds checkpoints but no config.json: put it back, choose another workdir "
                "or pass --allow_config_change to record the new config."
            )
        return []
    try:
        recorded = _flat(_read_json(path))
    except ArtefactError:
        if allow_change:
            return ["config.json: (damaged) -> the new one"]
        raise
    new = _flat(config)
    return [
        f"{key}: {recorded.get(key, _ABSENT)} -> {new.get(key, _ABSENT)}"
        for key in sorted(recorded.keys() | new.keys())
        if (key in recorded or key not in RECORDED_LATER)
        if recorded.get(key) != new.get(key)
    ]


def _has_checkpoints(path: str) -> bool:
    directory = os.path.join(path, "checkpoints")
    return os.path.isdir(directory) and bool(os.listdir(directory))


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """{"section.key": value as JSON} of a nested config."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = json.dumps(value, sort_keys=True)
    return flat


def _read_json(path: str) -> dict[str, Any]:
    """The object in DIR/config.json."""
    file = os.path.join(path, "config.json")
    try:
        config = read_json(file)
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{file} cannot be read ({error}): restore it.") from error
    if not isinstance(config, dict):
        raise ArtefactError(f"{file} is damaged (not a JSON object): restore it.")
    return config


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The recorded config of a workdir, for programs that only read it; "inf" is a float again.

    Raises:
      UsageError: there is no such workdir.
      ArtefactError: its config.json is damaged.
    """
    path = os.fspath(path)
    refuse_url("The workdir", path)
    if not os.path.exists(os.path.join(path, "config.json")):
        raise UsageError(
            f"{path} is not a workdir (it has no config.json): run meta-shrink train first."
        )
    return from_json(_read_json(path))
