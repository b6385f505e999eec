"""Signatures that cannot be written: a sentence, the exit code of its kind, nothing left behind."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from meta_shrink.adapters import signing
from meta_shrink.adapters.command_line import main
from tests.adapters import samples
from tests.adapters.test_signing import keys as keys

GOOD = samples.encoded(samples.backbone())
DISK = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG]
PLACE = [errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR]


@pytest.fixture
def adapter(tmp_path: Path) -> str:
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters/a").write_bytes(GOOD)
    return str(tmp_path / "adapters/a")


def refused(arguments, code, capsys) -> str:
    """The one line that a command ends with."""
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("error: ") and "cannot be written" in printed.err
    return printed.err


@pytest.mark.parametrize("number", [*DISK, *PLACE])
@pytest.mark.parametrize("where", ["signature", "temporary"])
def test_a_place_that_cannot_be_written(where, number, adapter, keys, monkeypatch, capsys):
    def fail(path, content):
        raise OSError(number, os.strerror(number), path)

    name = "write_atomically" if where == "signature" else "write_durably"
    monkeypatch.setattr(signing, name, fail)
    arguments = ["sign", adapter, f"--private_key={keys / 'maker.pem'}"]
    told = refused(arguments, 4 if number in DISK else 2, capsys)
    named = f"{adapter}.sig" if where == "signature" else "The temporary folder"
    assert named in told and os.strerror(number) in told
    assert os.listdir(os.path.dirname(adapter)) == ["a"]


def test_no_temporary_folder(adapter, keys, monkeypatch, capsys):
    signing.sign_adapter(adapter, str(keys / "maker.pem"))
    monkeypatch.setattr(tempfile, "tempdir", str(keys / "none"))
    refused(["verify", adapter, f"--public_key={keys / 'maker.pub'}"], 2, capsys)
    refused(["sign", adapter, f"--private_key={keys / 'maker.pem'}"], 2, capsys)


def test_a_folder_in_the_place_of_the_signature(adapter, keys, capsys):
    os.mkdir(f"{adapter}.sig")
    told = refused(["sign", adapter, f"--private_key={keys / 'maker.pem'}"], 2, capsys)
    assert f"{adapter}.sig" in told and "directory" in told
    assert sorted(os.listdir(os.path.dirname(adapter))) == ["a", "a.sig"]


@pytest.mark.parametrize("length", [239, 251, 252, 255])
def test_a_name_that_is_too_long_for_its_signature(length, adapter, keys, capsys):
    """Or for the temporary file beside it."""
    name = os.path.join(os.path.dirname(adapter), "n" * length)
    os.rename(adapter, name)
    told = refused(["sign", name, f"--private_key={keys / 'maker.pem'}"], 2, capsys)
    assert "File name too long" in told
