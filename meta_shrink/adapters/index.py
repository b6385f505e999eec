"""Names of adapters: ids, and the aliases (task name -> id) in index.json beside the files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.manifest import is_sha256
from meta_shrink.adapters.reading import adapter_path, is_of_another
from meta_shrink.adapters.regular_file import read_regular_file
from meta_shrink.errors import AdapterError, ArtefactError

INDEX_FILE = "index.json"
MAX_INDEX_BYTES = 64 * 2**20
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_alias(name: str) -> bool:
    """Whether a task may be called so: an alias in the form of an id would hide that adapter."""
    return _NAME.fullmatch(name) is not None and not is_sha256(name)


def check_name(name: Any) -> None:
    """An id or an alias: nothing that could be a path, nothing long.

    Raises:
      AdapterError: "id"; its message does not repeat the name, which may be anything.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise AdapterError(
            "id",
            "An adapter is named by its id (64 lower-case hexadecimal digits) or by an alias (1 to "
            "64 of A-Z a-z 0-9 . _ -); this is neither.",
        )


def read_index(directory: str) -> dict[str, str]:
    """{alias: id} of a directory's index.json, {} if there is none.

    Raises:
      ArtefactError: it is damaged, too large or no regular file.
    """
    path = os.path.join(directory, INDEX_FILE)
    try:
        content = read_regular_file(path, MAX_INDEX_BYTES)
        index = json.loads(content, object_pairs_hook=_without_twins)
    except AdapterError as error:
        if error.code == "not_found":
            return {}
        raise
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{path} cannot be read ({error}): write it again.") from error
    if not isinstance(index, dict) or not all(map(_is_entry, index.items())):
        raise ArtefactError(
            f"{path} has to map aliases (1 to 64 of A-Z a-z 0-9 . _ -, no id) to ids of adapters "
            "(64 lower-case hexadecimal digits): write it again."
        )
    return index


def of_other_backbones(
    directory: str, index: Mapping[str, str], backbone: BackboneInfo
) -> list[str]:
    """The aliases, in order, whose adapters were made for another backbone (reading.is_of_another).

    A thousand take a quarter of a second.
    """
    other = partial(is_of_another, backbone=backbone)
    return sorted(name for name, key in index.items() if other(adapter_path(directory, key)))


def _without_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Two adapters of one name would leave open which is meant."""
    index = dict(pairs)
    if len(index) < len(pairs):
        raise ValueError("a name stands there twice")
    return index


def _is_entry(entry: tuple[str, Any]) -> bool:
    alias, value = entry
    return is_alias(alias) and is_sha256(value)
