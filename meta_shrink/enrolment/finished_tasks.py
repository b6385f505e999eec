"""Which tasks have an adapter: tasks.json and index.json of a folder, and what is not in them yet.

A task that is done is one line more in tasks.jsonl. The two files are written anew, and the lines
removed, when there are as many lines as half of all tasks, and at the end: so all writing together
is a few times the files, however many tasks there are, and a run that is killed loses none.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.index import INDEX_FILE, of_other_backbones, read_index
from meta_shrink.adapters.manifest import is_sha256
from meta_shrink.durable_files import (
    append_whole,
    parse_json,
    read_file,
    read_json,
    remove_file,
    write_atomically,
)
from meta_shrink.errors import ArtefactError, UsageError, first_names

TASKS_FILE = "tasks.json"
LINES_FILE = "tasks.jsonl"


class FinishedTasks:
    """rows: {name of a task: {"adapter": id, "settings": hash of what decides it, ...}}."""

    def __init__(self, folder: str) -> None:
        """Read what an earlier run left.

        Raises:
          ArtefactError: tasks.json or index.json is damaged.
        """
        self._folder = folder
        self.rows = _read_tasks(os.path.join(folder, TASKS_FILE))
        # Rows whose aliases index.json may lack; the others are as somebody may have changed them.
        self._new = dict(_read_lines(os.path.join(folder, LINES_FILE)))
        self.rows |= self._new
        if _index_of(folder) is None:
            self._new = dict(self.rows)

    def __enter__(self) -> FinishedTasks:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.save()
            return
        with contextlib.suppress(OSError):  # Nothing is lost: the lines are there.
            self.save()

    def add(self, name: str, row: dict[str, Any]) -> None:
        """One task more, durably."""
        self.rows[name] = self._new[name] = row
        line = json.dumps({"task": name, **row}, sort_keys=True, allow_nan=False)
        lines = os.path.join(self._folder, LINES_FILE)
        append_whole(lines, line.encode() + b"\n", durably=True)
        if len(self._new) * 2 >= len(self.rows):
            self.save()

    def save(self) -> None:
        """Bring tasks.json and index.json up to date."""
        if not self._new:
            return
        # Aliases that somebody added stay, and those that somebody took away do not come back.
        own = {name: row["adapter"] for name, row in self._new.items()}
        index = (_index_of(self._folder) or {}) | own
        for file, content in ((TASKS_FILE, self.rows), (INDEX_FILE, index)):
            text = json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"
            write_atomically(os.path.join(self._folder, file), text.encode())
        remove_file(os.path.join(self._folder, LINES_FILE))
        self._new = {}


def _index_of(folder: str) -> dict[str, str] | None:
    """The content of index.json; None if there is none.

    Raises:
      ArtefactError: it is damaged.
    """
    try:
        index = read_index(folder)
    except ArtefactError as error:
        raise ArtefactError(
            f"{error} Without it, the aliases of {TASKS_FILE} are written, and no others."
        ) from error
    return index if os.path.lexists(os.path.join(folder, INDEX_FILE)) else None


def check_others(folder: str, names: Iterable[str], backbone: BackboneInfo) -> None:
    """Before tasks of these names are adapted into a folder.

    Raises:
      UsageError: it has adapters of another backbone beside them, which no server of this one could
        use, nor one of that backbone what is new.
    """
    own = set(names)
    rest = {name: key for name, key in (_index_of(folder) or {}).items() if name not in own}
    if others := of_other_backbones(folder, rest, backbone):
        raise UsageError(
            f"{folder} names {len(others)} adapter(s) of another backbone than {backbone.name}, of "
            f"tasks that are not among these: {first_names(others)}; choose another folder, or "
            f"remove {INDEX_FILE} and {TASKS_FILE} there."
        )


def _read_tasks(path: str) -> dict[str, Any]:
    """The content of tasks.json, {} if there is none."""
    try:
        rows = read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error) or type(error).__name__) from error
    if not isinstance(rows, dict) or not all(map(_is_row, rows.values())):
        raise _damaged(path, "it does not map tasks to their adapters")
    return rows


def _damaged(path: str, why: str) -> ArtefactError:
    return ArtefactError(
        f"{path} cannot be read ({why}): remove it, and the adapters are made again."
    )


def _read_lines(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, row) of each whole line; what a crash tore is adapted again."""
    try:
        lines = read_file(path).splitlines(keepends=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _damaged(path, str(error.strerror)) from error
    for line in lines:
        try:
            row = parse_json(line)
            name = row.pop("task")
        except (ValueError, KeyError, AttributeError, TypeError):
            continue
        if line.endswith(b"\n") and isinstance(name, str) and _is_row(row):
            yield name, row


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and is_sha256(row.get("adapter"))
        and isinstance(row.get("settings"), str)
    )
