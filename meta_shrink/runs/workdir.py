"""The run directory: one owner, one config, its logs.

    DIR/config.json     effective config, canonical JSON    DIR/metrics.jsonl   rows, reproducible
    DIR/checkpoints/    see checkpointing.py                DIR/timing.jsonl    rows that may differ
    DIR/report/         made by the report program          DIR/.lock           held by the owner

DIR lies on a file system that this machine mounts (POSIX rename and flock).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from meta_shrink.durable_files import from_json, remove_file, to_json, write_atomically
from meta_shrink.errors import ArtefactError, UsageError
from meta_shrink.runs.metrics_log import MetricsLog

__all__ = ["MetricsLog", "Workdir", "open_workdir", "read_config"]

_WRITTEN_ATOMICALLY = ("config.json", "metrics.jsonl", "timing.jsonl")
_ABSENT = "(absent)"


class Workdir:
    """An open run directory; leaving the `with` block releases it. Made by `open_workdir`.

    path, checkpoints_dir, report_dir: absolute paths; report_dir is made by who writes into it.
    metrics, timing: logs of rows; only `metrics` is bit-equal between repeated runs.
    """

    def __init__(
        self, path: str, *, lock: int | None = None, log: Callable[[str], object] = print
    ) -> None:
        self.path = os.path.abspath(path)
        self.checkpoints_dir = os.path.join(self.path, "checkpoints")
        self.report_dir = os.path.join(self.path, "report")
        self.metrics = self._open_log("metrics.jsonl", lock, log)
        self.timing = self._open_log("timing.jsonl", lock, log)
        self._lock = lock

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
    path: str,
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
    if not is_chief:
        return Workdir(path, log=log)
    if "://" in path:
        raise UsageError(f"The workdir {path} is a URL: mount the bucket and give its local path.")
    try:
        os.makedirs(os.path.join(path, "checkpoints"), exist_ok=True)
        workdir = Workdir(path, lock=hold_lock(os.path.join(path, ".lock")), log=log)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        for name in _WRITTEN_ATOMICALLY:
            remove_file(os.path.join(path, f"{name}.tmp"))
        _record_config(path, to_json(config), allow_config_change, log)
    except OSError as error:
        workdir.close()
        raise _unwritable(path, error) from error
    except BaseException:
        workdir.close()
        raise
    return workdir


def _unwritable(path: str, error: OSError) -> UsageError:
    return UsageError(
        f"The workdir {path} cannot be written ({error.strerror}): choose another one, or see to "
        "its permissions and free space."
    )


def hold_lock(path: str) -> int:
    """Descriptor of a lock file that this process holds until it closes it or ends.

    Raises:
      UsageError: another process holds it.
      OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise UsageError(
            f"The workdir {os.path.dirname(path)} is in use by process {holder}: wait for it, stop "
            "it, or choose another workdir."
        ) from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _record_config(
    path: str, config: dict[str, Any], allow_change: bool, log: Callable[[str], object]
) -> None:
    """Write config.json, or check that the one there says the same."""
    file = os.path.join(path, "config.json")
    try:
        content = json.dumps(config, sort_keys=True, indent=2, allow_nan=False) + "\n"
    except TypeError as error:
        raise UsageError(f"The config holds a value that JSON cannot hold: {error}.") from error
    differing = _differing_keys(path, config, allow_change)
    if differing and not allow_change:
        raise UsageError(
            f"The workdir {path} was made with another config: {'; '.join(differing)}. Pass "
            "--allow_config_change to go on with the new one, or choose another workdir."
        )
    if differing:
        log(f"The config of {path} changes: {'; '.join(differing)}.")
    if differing or not os.path.exists(file):
        write_atomically(file, content.encode())


def _differing_keys(path: str, config: dict[str, Any], allow_change: bool) -> list[str]:
    """One "key: recorded -> new" for each key that differs from the recorded config."""
    if not os.path.exists(os.path.join(path, "config.json")):
        if os.listdir(os.path.join(path, "checkpoints")) and not allow_change:
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
        if recorded.get(key) != new.get(key)
    ]


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
        with open(file, "rb") as stream:
            config = json.load(stream)
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{file} cannot be read ({error}): restore it.") from error
    if not isinstance(config, dict):
        raise ArtefactError(f"{file} is damaged (not a JSON object): restore it.")
    return config


def read_config(path: str) -> dict[str, Any]:
    """The recorded config of a workdir, for programs that only read it; "inf" is a float again.

    Raises:
      UsageError: there is no such workdir.
      ArtefactError: its config.json is damaged.
    """
    if not os.path.exists(os.path.join(path, "config.json")):
        raise UsageError(
            f"{path} is not a workdir (it has no config.json): run launch.train first."
        )
    return from_json(_read_json(path))
