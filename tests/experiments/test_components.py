"""Users' own models, tasks, losses and algorithms, found by name and never by a config alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import (
    Components,
    Loss,
    MetricFacts,
    UsageError,
    build,
    default_components,
    installed_components,
)
from meta_shrink.experiments import components
from meta_shrink.models import mlp
from tests.tiny_runs import tiny_config

ROOT = Path(__file__).resolve().parents[2]
MINE = """
import tensorflow as tf
import meta_shrink as ms
from meta_shrink.models import gaussian
from meta_shrink.tasks import gaussian as tasks


def my_loss(*, power: float):
    return lambda target, output: tf.reduce_sum(tf.abs(target - output) ** power, axis=-1)


METHOD = ms.Method(ms.reptile, ("phi",), ("nll_val", "nll_train"), False, True)
COMPONENTS = ms.Components(
    models={"my_model": gaussian},
    tasks={"my_tasks": tasks},
    losses={"my_loss": ms.Loss(my_loss, ms.MetricFacts("my metric", True, lambda loss: loss))},
    meta_gradients={"my_reptile": METHOD},
    task_optimizers={"my_descent": ms.proximal_gd},
)
"""
ASKED = {
    "model.name": "my_model",
    "task.name": "my_tasks",
    "loss": {"name": "my_loss", "reduction": "mean", "power": 4.0},
    "algorithm.name": "my_reptile",
    "adapt.optimizer": "my_descent",
}


@pytest.fixture
def mine(tmp_path, monkeypatch) -> str:
    """The name of an importable module with one component of every kind."""
    name = f"components_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_every_kind_is_used(mine):
    experiment = build(tiny_config("reptile", ASKED), installed_components([mine]))
    assert experiment.metric_facts.name == "my metric"
    target, output = np.array([[1.0, 2.0]]), np.array([[3.0, 2.0]])
    np.testing.assert_allclose(experiment.example_loss(target, output), [2.0**4])
    assert experiment.method.learns == ("phi",)


@pytest.mark.parametrize("key", ["model.name", "task.name", "algorithm.name", "adapt.optimizer"])
def test_a_name_without_its_module_is_refused(key):
    with pytest.raises(UsageError, match=f"{key} is 'my_.*expected one of"):
        build(tiny_config("reptile", {key: ASKED[key]}))


def test_an_entry_point_of_an_installed_package_is_found(monkeypatch):
    class Entry:
        value = "their_package:COMPONENTS"

        @staticmethod
        def load():
            return Components(models={"theirs": mlp})

    monkeypatch.setattr(components, "entry_points", lambda group: [Entry] if group else [])
    assert installed_components().models["theirs"] is mlp
    assert "mlp" in installed_components().models


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("x = 1", "has no COMPONENTS"),
        ("COMPONENTS = {}", "is a dict; expected meta_shrink.Components"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        (
            "import meta_shrink as ms\nCOMPONENTS = ms.Components(models={'mlp': str})",
            "'mlp' twice",
        ),
    ],
)
def test_bad_modules_are_refused(tmp_path, monkeypatch, content, says):
    name = f"bad_{abs(hash(content))}"
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=says):
        installed_components([name])
    with pytest.raises(UsageError, match="--imports=absent_module cannot be imported"):
        installed_components(["absent_module"])


def test_a_loss_is_a_factory_and_its_metric():
    ours = installed_components().losses["squared_error"]
    assert isinstance(ours, Loss)
    assert ours.metric.lower_is_better


@pytest.mark.programs
def test_programs_use_and_record_them(tmp_path, mine):
    """Trained with --imports; a program that lacks it says so; with it, it evaluates."""
    file = "from tests.tiny_runs import tiny_config\nfrom ml_collections import ConfigDict\n"
    file += f"def get_config():\n    return ConfigDict(tiny_config('reptile', {ASKED!r}))\n"
    (tmp_path / "config.py").write_text(file)
    workdir, imports = tmp_path / "run", f"--imports={mine}"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}

    def run(program: str, *flags: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", f"launch.{program}", f"--workdir={workdir}", *flags]
        options = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True}
        return subprocess.run(command, check=False, **options)

    config = [f"--config={tmp_path / 'config.py'}", "--config.train.steps=2"]
    assert run("train", *config).returncode == 2
    done = run("train", *config, imports)
    assert done.returncode == 0, done.stderr
    assert json.loads((workdir / "config.json").read_text())["imports"] == [mine]
    lacking = run("evaluate")
    assert lacking.returncode == 2
    assert f"{imports}; add it to this command" in lacking.stderr
    assert run("evaluate", imports).returncode == 0
    assert json.loads((workdir / "evaluation.json").read_text())["metric"]["name"] == "my metric"


def ctc(targets, outputs):
    """Texts of two letters out of four, heard in the frames of [N, frames * 5] logits."""
    count = tf.shape(outputs)[0]
    letters = tf.cast(targets[:, :2], tf.int32) % 4 + 1
    return keras.losses.CTC(reduction="none")(letters, tf.reshape(outputs, [count, -1, 5]))


def huber(targets, outputs):
    return tf.reduce_sum(keras.losses.huber(targets[..., None], outputs[..., None]), axis=-1)


CURVED = {
    "ctc": (ctc, "cannot|no second derivative that TensorFlow can compute"),
    "huber": (huber, ""),
    "cosine": (lambda t, o: keras.losses.cosine_similarity(t, o), ""),
    "soft_dice": (lambda t, o: 1 - 2 * tf.reduce_sum(tf.sigmoid(o) * t, -1), ""),
}


@pytest.mark.parametrize("algorithm", ["sigma_reptile", "sigma_imaml", "sigma_maml", "reptile"])
@pytest.mark.parametrize("name", CURVED)
def test_a_loss_whose_second_derivatives_are_no_numbers_is_refused(name, algorithm):
    loss, says = CURVED[name]
    theirs = Loss(lambda: loss, MetricFacts("theirs", True, lambda loss: loss))
    components_of = default_components()
    components_of = components_of._replace(losses={**components_of.losses, name: theirs})
    task = {"name": "gaussian", "mean": "linear", "num_train": 3, "num_val": 3, "phi": [1.0] * 9}
    task |= {"sigma": [1.0] * 9, "noise": [1.0] * 10}
    changes = {"task": task, "loss": {"name": name, "reduction": "mean"}}
    changes |= {"model": {"name": "gaussian", "dimensions": 9, "mean": "linear", "initial": 0.3}}
    config = tiny_config(algorithm, changes)
    if says and algorithm != "reptile":
        with pytest.raises(UsageError, match=says):
            build(config, components_of)
    else:
        build(config, components_of)
