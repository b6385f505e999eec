"""Every flag and key that names a file or folder: URLs are copied, or refused before all else."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import Components, UsageError, build, default_components
from meta_shrink.experiments.task_data import task_source
from meta_shrink.programs import places
from meta_shrink.programs.flag_sentences import CONFIG_FILES
from meta_shrink.programs.places import PLACES
from meta_shrink.remote.store import Store
from tests.tiny_runs import tiny_config

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {"text", "consent", "licence", "only", "name", "host", "tpu", "imports", "profile"}


def string_flags() -> set[str]:
    """The first argument of every DEFINE_string, and its like, of the programs."""
    found = set()
    for path in (ROOT / "meta_shrink" / "programs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
            if name in ("DEFINE_string", "DEFINE_multi_string") and isinstance(node, ast.Call):
                found.add(ast.literal_eval(node.args[0]))
    return found


def test_every_flag_is_a_place_or_a_text():
    assert string_flags() == (set(PLACES) | TEXTS)
    assert not set(PLACES) & (TEXTS | set(CONFIG_FILES))


@pytest.mark.parametrize(
    ("program", "flag", "others"),
    [
        ("serve", "tokens", ["--backbone=b", "--adapters=a"]),
        ("serve", "adapters", ["--backbone=b"]),
        ("sweep", "workdir", [f"--config={ROOT}/configs/sinusoid.py:reptile"]),
        ("compare", "out", [f"--set={ROOT}/configs/comparisons/omniglot_small.py"]),
    ],
)
def test_a_url_of_what_is_used_while_it_runs_is_told_and_nothing_is_made(
    tmp_path, program, flag, others
):
    done = run(tmp_path, program, *others, f"--{flag}=gs://bucket/run")
    assert f"error: --{flag} is the URL gs://bucket/run: " in done.stderr
    assert "local path" in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--workdir=nosuch://bucket/run"], "nosuch:// cannot be read here"),
        (["--workdir=run", "--out=gs://bucket"], "gs://bucket is no folder of a bucket"),
        (["--workdir=run,nosuch://bucket/run"], "nosuch:// cannot be read here"),
    ],
)
def test_so_is_a_url_that_cannot_be(tmp_path, flags, words):
    assert words in run(tmp_path, "report", *flags).stderr


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file:///there/run", "is on this machine: give its path, without file://"),
        ("local://there/run", "is on this machine: give its path, without local://"),
        ("memory://bucket/run", "would be lost when this program ends"),
        ("one,memory://bucket/run", "would be lost when this program ends"),
        # As pathlib and os.path.normpath leave a URL: a local folder gs: was made of it.
        ("gs:/bucket/run", "is no URL: write gs:// with two slashes"),
        ("s3:/bucket/run", "is no URL: write s3:// with two slashes"),
    ],
)
def test_what_looks_like_a_store_and_is_none_is_refused(place, words, monkeypatch):
    monkeypatch.setattr(places, "_values", lambda name: [place] if name == "workdir" else [])
    with pytest.raises(UsageError, match=f"^--workdir={place.split(',')[-1]} {words}"):
        places.check_places()


@pytest.mark.parametrize("place", ["runs/a:b", "gs://bucket/run", "C:run", "a b/c", "x:1/y"])
def test_other_places_are_taken_as_they_are(place, monkeypatch):
    monkeypatch.setattr(places, "_values", lambda name: [place] if name == "workdir" else [])
    places.check_places()


def test_a_folder_that_is_there_is_one_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("gs:/bucket")
    monkeypatch.setattr(places, "_values", lambda name: ["gs:/bucket"] if name == "out" else [])
    places.check_places()


def run(tmp_path: Path, program: str, *flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "meta_shrink", program, *flags]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and list(tmp_path.iterdir()) == []
    return done


def test_so_is_a_cache_in_a_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^warm_start\.cache is the URL ram://there: "):
        build(tiny_config("reptile", {"warm_start.cache": "ram://there"}))
    assert list(tmp_path.iterdir()) == []


def test_our_own_tasks_read_a_copy(tmp_path):
    url = f"memory://{uuid.uuid4().hex}/data"
    for number in range(10):
        np.savez(tmp_path / "task.npz", inputs=np.full([4, 2], number), targets=np.zeros([4]))
        Store.of(url).upload(str(tmp_path / "task.npz"), f"task_{number}.npz")
    config = {"seed": 0, "task": {"name": "arrays", "data_dir": url}}
    source = task_source(config, default_components().tasks)
    assert source.heldout(tf.constant(0)).train
    with pytest.raises(UsageError, match="memory://none/data holds nothing"):
        build(
            tiny_config("reptile", {"task": {"name": "arrays", "data_dir": "memory://none/data"}})
        )


def test_a_task_of_ones_own_may_know_urls():
    ours, seen = default_components(), []

    def gaussian(*, data_dir, **options):
        seen.append(data_dir)
        return ours.tasks["gaussian"](**options)

    tasks = Components(*ours)._replace(tasks={**ours.tasks, "gaussian": gaussian})
    build(tiny_config("reptile", {"task.data_dir": "gs://there"}), tasks)
    assert seen == ["gs://there"]
