"""The run directory: owner, config, signals."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meta_shrink import ArtefactError, UsageError, open_workdir
from meta_shrink.runs.workdir import read_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "meta": {"steps": 100, "learning_rate": 1e-3, "sizes": (40, 40)},
    "prior": {"sigma2": math.inf},
    "name": "sinusoid",
}


def changed(section: str, **values) -> dict:
    return {**CONFIG, section: {**CONFIG[section], **values}}


def test_layout(tmp_path):
    path = tmp_path / "a" / "run"
    with open_workdir(str(path), CONFIG) as workdir:
        workdir.metrics.append({"step": 1})
        workdir.timing.append({"step": 1, "seconds": 0.5})
    assert workdir.path == str(path)
    assert (
        workdir.checkpoints_dir == str(path / "checkpoints") and Path(path, "checkpoints").is_dir()
    )
    assert workdir.report_dir == str(path / "report")
    files = [".lock", "checkpoints", "config.json", "metrics.jsonl", "timing.jsonl"]
    assert sorted(os.listdir(path)) == files


def test_config_is_canonical_json(tmp_path):
    open_workdir(str(tmp_path), CONFIG).close()
    text = (tmp_path / "config.json").read_text()

    def refuse(constant: str):
        raise ValueError(constant)

    config = json.loads(text, parse_constant=refuse)
    assert config["prior"]["sigma2"] == "inf"
    assert text == json.dumps(config, sort_keys=True, indent=2) + "\n"
    assert read_config(str(tmp_path)) == {**CONFIG, "meta": {**CONFIG["meta"], "sizes": [40, 40]}}


def test_the_same_config_reopens_and_leaves_the_file_alone(tmp_path):
    open_workdir(str(tmp_path), CONFIG).close()
    before = (tmp_path / "config.json").stat().st_mtime_ns
    (tmp_path / "metrics.jsonl.tmp").write_text("left by a kill")
    open_workdir(str(tmp_path), CONFIG).close()
    assert (tmp_path / "config.json").stat().st_mtime_ns == before
    assert not (tmp_path / "metrics.jsonl.tmp").exists()


@pytest.mark.parametrize(
    ("config", "difference"),
    [
        (changed("meta", steps=200), "meta.steps: 100 -> 200"),
        (changed("meta", steps=True), "meta.steps: 100 -> true"),
        (changed("meta", sizes=[40]), "meta.sizes: [40, 40] -> [40]"),
        (changed("meta", clip=1.0), "meta.clip: (absent) -> 1.0"),
        (changed("prior", sigma2=0.5), 'prior.sigma2: "inf" -> 0.5'),
        ({**CONFIG, "prior": {}}, 'prior: (absent) -> {}; prior.sigma2: "inf" -> (absent)'),
        ({**CONFIG, "name": "x"}, 'name: "sinusoid" -> "x"'),
    ],
)
def test_another_config_is_refused_with_its_differences(tmp_path, config, difference):
    open_workdir(str(tmp_path), CONFIG).close()
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(UsageError) as caught:
        open_workdir(str(tmp_path), config)
    assert f"another config: {difference}. Pass --allow_config_change" in str(caught.value)
    assert (tmp_path / "config.json").read_bytes() == before
    messages: list[str] = []
    open_workdir(str(tmp_path), config, allow_config_change=True, log=messages.append).close()
    assert difference in messages[0]
    open_workdir(str(tmp_path), config).close()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"a": 1', None])
def test_damaged_or_lost_config(tmp_path, content):
    open_workdir(str(tmp_path), CONFIG).close()
    (tmp_path / "checkpoints" / "ckpt-1.index").write_text("")
    if content is None:
        (tmp_path / "config.json").unlink()
    else:
        (tmp_path / "config.json").write_bytes(content)
        with pytest.raises(ArtefactError, match=r"config\.json"):
            read_config(str(tmp_path))
    with pytest.raises(ArtefactError, match=r"config\.json"):
        open_workdir(str(tmp_path), CONFIG)
    open_workdir(str(tmp_path), CONFIG, allow_config_change=True, log=lambda _: None).close()
    assert read_config(str(tmp_path))["name"] == "sinusoid"


def test_config_that_json_cannot_hold(tmp_path):
    with pytest.raises(UsageError, match="JSON cannot hold"):
        open_workdir(str(tmp_path), {"model": object()})
    open_workdir(str(tmp_path), CONFIG).close()  # The refused one let go of the lock.


@pytest.mark.parametrize("path", ["file", "file/below", "gs://bucket/run", "/proc/nowhere"])
def test_unwritable_workdir(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be written|is the URL") as caught:
        open_workdir(path, CONFIG)
    assert caught.value.exit_code == 2


def test_a_url_is_no_workdir_to_any_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for use in (read_config, lambda url: open_workdir(url, CONFIG, is_chief=False)):
        with pytest.raises(UsageError, match=r"The workdir is the URL ram://run: .* mount"):
            use("ram://run")
    assert list(tmp_path.iterdir()) == []


def test_missing_workdir(tmp_path):
    with pytest.raises(UsageError, match="is not a workdir"):
        read_config(str(tmp_path / "nowhere"))


HOLDER = """
import sys, time
from meta_shrink.runs.workdir import open_workdir
with open_workdir(sys.argv[1], {"a": 1}):
    print("open", flush=True)
    time.sleep(60)
"""


def test_two_processes(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "open\n"
            with pytest.raises(UsageError, match=f"in use by process {holder.pid}:"):
                open_workdir(str(tmp_path), {"a": 1})
            assert holder.poll() is None  # Refused at once: its minute is not over.
            worker = open_workdir(str(tmp_path), {"a": 1}, is_chief=False)
            worker.metrics.append({"step": 1})
            assert not (tmp_path / "metrics.jsonl").exists()
        finally:
            holder.kill()
    with open_workdir(str(tmp_path), {"a": 1}):  # A killed owner holds nothing.
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
