"""Real recordings, and the backbones of tiny runs, for tests of this folder."""

from __future__ import annotations

import json
import tarfile

import pytest

from tests.image_data import published
from tests.speech.exported import exported_prosody, exported_voices


@pytest.fixture(scope="session")
def recordings(tmp_path_factory) -> str:
    """Three real recordings of each of two speakers, each with its .txt."""
    folder = tmp_path_factory.mktemp("recordings")
    with tarfile.open(published("speech") / "so762_sample_wav.tar.gz") as archive:
        lines = [json.loads(x) for x in _content(archive, "metadata.jsonl").splitlines()]
        for line in [
            x for x in lines if x["speaker"] in {lines[0]["speaker"], lines[-1]["speaker"]}
        ]:
            place = folder / line["speaker"] / f"{line['utterance']}.wav"
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(_content(archive, line["path"]))
            place.with_suffix(".txt").write_text(line["text"])
    return str(folder)


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


@pytest.fixture(scope="session")
def backbone(tmp_path_factory) -> str:
    return exported_voices(tmp_path_factory)[1]


@pytest.fixture(scope="session")
def prosody(tmp_path_factory) -> str:
    return exported_prosody(tmp_path_factory)[1]
