"""A folder of an object store (gs://, s3://, ...), through fsspec."""

from __future__ import annotations

import importlib
import logging
import os
import re
from typing import Any, NamedTuple

from meta_shrink.errors import ArtefactError, DiskError, UsageError, unwritable

# The extra that brings the package for a kind of URL.
EXTRAS = {"gs": "gcs", "gcs": "gcs"}
_OWN = re.compile(r"(.*/)?(\.lock|\.lease.*|[^/]+\.tmp|\.unfinished-.*)")


class Store(NamedTuple):
    """A folder of an object store; names are relative to it."""

    url: str
    system: Any
    root: str

    @classmethod
    def of(cls, url: str) -> Store:
        """The store of a URL.

        Raises:
          UsageError: no installed package reads such URLs.
        """
        scheme = url.partition("://")[0]
        try:
            fsspec = importlib.import_module("fsspec")  # Late: few runs are in a store.
            # gcsfs warns at each call that it may not ask for a bucket's kind, and goes on; it logs
            # the traceback of what it raises as well.
            logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
            system, root = fsspec.url_to_fs(url)
        except (ImportError, ValueError) as error:
            extra = EXTRAS.get(scheme)
            advice = f"pip install 'meta_shrink[{extra}]'" if extra else "give a local path"
            raise UsageError(f"{scheme}:// cannot be read here ({error}): {advice}.") from error
        except Exception as error:
            raise _told("reached", url, error) from error
        return cls(url, system, root.rstrip("/"))

    def listing(self, name: str) -> dict[str, str]:
        """{name: what changes when the object does} of an object, or of all below a folder."""
        try:
            self.system.invalidate_cache()
            found = self.system.find(f"{self.root}/{name}", detail=True)
        except FileNotFoundError:
            return {}
        except Exception as error:
            raise _told("read", f"{self.url}/{name}", error) from error
        names = {
            path[len(self.root) + 1 :]: _stamp(info)
            for path, info in found.items()
            if info["type"] == "file" and not path.endswith("/")
        }
        if odd := [path for path in names if {"", ".", ".."} & set(path.split("/"))]:
            raise ArtefactError(
                f"{self.url} has an object {odd[0]!r}, which is no file's name: remove it."
            )
        return {
            path: stamp
            for path, stamp in names.items()
            if f"{path}/".startswith(f"{name}/") and not is_own(path)
        }

    def download(self, name: str, path: str) -> None:
        """Copy an object into a local file."""
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self.system.get_file(f"{self.root}/{name}", path)
        except FileNotFoundError:
            pass  # Its owner has removed it since it was listed.
        except Exception as error:
            if isinstance(error, OSError) and isinstance(
                full := unwritable(path, error), DiskError
            ):
                raise full from error  # That of the copy, not the store.
            raise _told("read", f"{self.url}/{name}", error) from error

    def upload(self, path: str, name: str) -> None:
        """Replace an object by a local file."""
        try:
            self.system.put_file(path, f"{self.root}/{name}")
        except Exception as error:
            raise _told("written", f"{self.url}/{name}", error) from error

    def read(self, name: str) -> bytes | None:
        """An object; None where there is none."""
        try:
            self.system.invalidate_cache()
            return self.system.cat_file(f"{self.root}/{name}")
        except FileNotFoundError:
            return None
        except Exception as error:
            raise _told("read", f"{self.url}/{name}", error) from error

    def write(self, name: str, content: bytes) -> None:
        """Replace an object."""
        try:
            self.system.pipe_file(f"{self.root}/{name}", content)
        except Exception as error:
            raise _told("written", f"{self.url}/{name}", error) from error

    def create(self, name: str, content: bytes) -> bool:
        """Make an object unless there is one, decided by the store: whether it was made."""
        try:
            self.system.pipe_file(f"{self.root}/{name}", content, mode="create")
        except FileExistsError:
            return False
        except Exception as error:
            raise _told("written", f"{self.url}/{name}", error) from error
        return True

    def remove(self, name: str) -> None:
        """Remove an object; nothing where there is none."""
        try:
            self.system.rm_file(f"{self.root}/{name}")
        except FileNotFoundError:
            pass
        except Exception as error:
            raise _told("removed from", f"{self.url}/{name}", error) from error


def is_own(name: str) -> bool:
    """Whether a file or object serves one process alone: locks, leases, what is being written."""
    return bool(_OWN.fullmatch(name))


def is_remote(path: str) -> bool:
    """Whether a place is a URL."""
    return "://" in path


def _stamp(info: dict[str, Any]) -> str:
    kinds = ("generation", "etag", "ETag", "mtime", "created", "updated", "size")
    return "|".join(f"{kind}={info[kind]}" for kind in kinds if kind in info)


def _told(what: str, url: str, error: Exception) -> ArtefactError:
    """Packages of stores raise errors of many kinds; all mean the same to a user."""
    reason = (str(error).strip().splitlines() or [""])[0][:200]
    return ArtefactError(
        f"{url} cannot be {what} ({type(error).__name__}: {reason}): check the address, your "
        "credentials and the network, and start again."
    )
