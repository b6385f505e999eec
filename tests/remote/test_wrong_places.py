"""Stores that refuse, URLs that cannot be, disks without room: one sentence each."""

from __future__ import annotations

import errno
import uuid
from pathlib import Path
from unittest.mock import Mock

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from meta_shrink import ArtefactError, UsageError
from meta_shrink.errors import DiskError
from meta_shrink.remote.mirror import Mirror, local_copy
from meta_shrink.remote.store import Store
from tests.fake_gcs import fake_gcs


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}/runs/one"


def test_a_store_that_refuses_is_one_sentence(tmp_path, monkeypatch, caplog):
    with fake_gcs() as (server, environment):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", environment["STORAGE_EMULATOR_HOST"])
        mirror = Mirror("gs://bucket/run", str(tmp_path))
        mirror.pull()
        mirror.check_writable()
        assert server.objects == {}
        server.fail.add("run/x")
        Path(mirror.path).mkdir()
        Path(mirror.path, "x").write_text("1")
        with pytest.raises(ArtefactError, match=r"^gs://bucket/run/x cannot .*Forbidden"):
            mirror.push()
        server.fail_status = 409
        with pytest.raises(ArtefactError, match=r"^gs://bucket/run/x cannot .*may not be"):
            mirror.push()
        with pytest.raises(ArtefactError, match=r"^gs://none/\.lease\S* cannot be written"):
            Mirror("gs://none/run", str(tmp_path)).check_writable()
    assert not caplog.records  # gcsfs logs tracebacks of what it raises.


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("gs://", "gs:// is no folder of a bucket: write gs://BUCKET/FOLDER."),
        ("gs://bucket/", "gs://bucket/ is no folder of a bucket: write gs://BUCKET/FOLDER."),
        ("nosuch://bucket/run", "nosuch:// cannot be read here"),
        ("ram://bucket/run", "ram:// cannot be read here"),
        # What is written there would not be uploaded.
        ("memory://bucket/a/..", "ends with '..', which is never uploaded"),
        ("memory://bucket/./", "ends with '.', which is never uploaded"),
        ("memory://bucket/.lease", "ends with '.lease', which is never uploaded"),
        ("memory://bucket/.unfinished-1", "ends with '.unfinished-1', which is never"),
        ("memory://bucket/voice.tmp", "ends with 'voice.tmp', which is never uploaded"),
    ],
)
def test_urls_that_cannot_be(url, words, tmp_path):
    with pytest.raises(UsageError) as told:
        Mirror(url, str(tmp_path))
    assert words in str(told.value)


def test_a_full_disk_is_not_the_stores_fault(url, tmp_path, monkeypatch):
    Store.of(url).write("x", b"1")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(MemoryFileSystem, "get_file", Mock(side_effect=full))
    with pytest.raises(DiskError, match=r"one/x cannot be written \(No space left .* free some"):
        Mirror(url, str(tmp_path)).pull()


def test_a_name_that_no_file_may_have_is_one_sentence(url, tmp_path):
    Store.of(url).write("n" * 300 + "/x", b"1")
    with pytest.raises(ArtefactError, match=r"cannot be read .*File name too long"):
        Mirror(url, str(tmp_path)).pull()


def test_data_that_are_not_there(url):
    with pytest.raises(UsageError, match=f"^{url} holds nothing"):
        local_copy(url)
