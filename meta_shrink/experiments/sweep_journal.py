"""What a search keeps: its config, its trials, and whose turn it is."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from typing import IO, Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from meta_shrink.durable_files import append_whole, open_regular, read_file, to_json
from meta_shrink.errors import ArtefactError, UsageError
from meta_shrink.experiments.components import name_of
from meta_shrink.runs.workdir import record_config

JOURNAL = "trials.journal"
CLAIMS = "claims.lock"


def open_locked(path: str, how: int = 0) -> IO[str]:
    """An open file with the lock that it stands for; BlockingIOError if LOCK_NB and it is taken."""
    file = os.fdopen(open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | how)
    except BaseException:
        file.close()
        raise
    return file


def open_study(
    directory: str | os.PathLike[str], config: Mapping[str, Any], minimise: bool
) -> optuna.Study:
    """The search in a folder, new or as it was left.

    Raises:
      UsageError: it was made with another config.
      ArtefactError: the journal is damaged.
      OSError: the folder cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directory = os.fspath(directory)
    if not directory.strip():
        raise UsageError("The folder of the search is empty: name one.")
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, JOURNAL)
    with open_locked(os.path.join(directory, CLAIMS)):
        _record(directory, config)
    try:
        return optuna.create_study(
            study_name=name_of(config),
            storage=JournalStorage(_Journal(path)),
            direction="minimize" if minimise else "maximize",
            load_if_exists=True,
        )
    except OSError:
        raise
    except Exception as error:  # Optuna replays it, whatever it says.
        raise ArtefactError(
            f"{path} is damaged ({type(error).__name__}: {error}): restore it, or start in another "
            "folder."
        ) from error


def _record(directory: str, config: Mapping[str, Any]) -> None:
    """Record the config of the search, or refuse another one; more trials are no other."""
    path = os.path.join(directory, JOURNAL)
    has_trials = os.path.lexists(path) and read_file(path)
    if has_trials and not os.path.exists(os.path.join(directory, "config.json")):
        raise ArtefactError(
            f"{directory} holds trials but no config.json: put it back, or choose another folder."
        )
    others = {name: value for name, value in config["search"].items() if name != "num_trials"}
    advice = "Go on with that one, or choose another folder."
    record_config(directory, to_json({**config, "search": others}), advice=advice)


class _Journal(JournalFileBackend):
    """Optuna's journal in whole lines (what a kill tore is cut), its lock ended by a kill."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines, or raise OSError."""
        lines = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in logs)
        with open_locked(f"{self._file_path}.writing"):
            append_whole(self._file_path, lines.encode(), durably=True)
