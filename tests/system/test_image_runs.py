"""Image experiments as a user runs them: programs on small data, kills, one-sentence errors."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.system.test_programs import run, start, wait_for_row
from tests.tiny_runs import assert_same_run

SMALL_MODEL = {"model.filters": 4, "model.image_size": 16, "model.precision": "float32"}
SHORT = {
    "device.cpu_threads": 1,
    "task.image_size": 16,
    "train.meta_batch_size": 2,
    "train.log_every": 2,
    "train.eval_every": 4,
    "train.checkpoint_every": 3,
    "warm_start.steps": 6,
    "warm_start.cache": "",
    "eval.num_tasks": 6,
    "eval.steps": 4,
    "eval.horizon": 2,
    "eval.group_tasks": 3,
    "eval.validation_tasks": 3,
}


def flags(config: str, workdir: Path, steps: int, data: Path, **more) -> list[str]:
    values = SMALL_MODEL | SHORT | {"train.steps": steps, "task.data_dir": str(data)} | more
    return [f"--config={config}", f"--workdir={workdir}"] + [
        f"--config.{key}={value}" for key, value in values.items()
    ]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Eight classes of 20 noisy colours in each split, in class folders' simplest form: NPZ."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number, split in enumerate(("train", "val", "test")):
        labels = np.repeat(np.arange(8), 20) + 8 * number
        colours = rng.integers(0, 256, [8, 1, 1, 1, 3]).repeat(20, 1)
        images = colours + rng.integers(-40, 40, [8, 20, 16, 16, 3])
        pixels = np.clip(images, 0, 255).astype(np.uint8).reshape(-1, 16, 16, 3)
        np.savez(folder / f"{split}.npz", image_data=pixels, labels=labels)
    return folder


PHOTOGRAPHS = "configs/image_folder_few_shot.py:quick_grocery84_5w1s_"


def test_train_evaluate_and_report_on_photographs(photographs, tmp_path):
    arguments = flags(PHOTOGRAPHS + "sigma_imaml", tmp_path, 8, photographs)
    assert "warm start: 6/6" in run("train", *arguments).stdout
    shown = run("evaluate", f"--workdir={tmp_path}", "--num_tasks=7").stdout
    assert "conv_3" in shown and "accuracy" in shown
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    rows = {row["name"]: row for row in evaluation["schemes"]}
    assert evaluation["num_tasks"] == rows["all modules"]["num_tasks"] == 7
    assert rows["conv_0"]["num_tasks"] == 3
    assert {4, 8} <= set(rows["all modules"]["steps"]) and max(rows["conv_0"]["steps"]) == 4
    for row in (rows["all modules"], rows["selected modules"]):
        assert len(row["inductive_mean"]) == len(row["mean"]) == len(row["steps"])
        assert min(row["inductive_mean"]) >= 0 and max(row["inductive_mean"]) <= 1
    run("report", f"--workdir={tmp_path}")
    assert (tmp_path / "report" / "index.html").stat().st_size > 10_000


@pytest.mark.slow
def test_back_propagation_through_batch_norms_in_loops(photographs, tmp_path):
    """TensorFlow's fused kernels say a wrong shape of outputs that such a loop may keep."""
    shown = run("train", *flags(PHOTOGRAPHS + "sigma_maml", tmp_path, 2, photographs)).stderr
    assert "2/2" in shown


@pytest.mark.slow
def test_a_killed_image_run_ends_bit_equal(photographs, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run("train", *flags(PHOTOGRAPHS + "sigma_reptile", whole, 9, photographs))
    arguments = flags(PHOTOGRAPHS + "sigma_reptile", killed, 9, photographs)
    process = start("train", *arguments)
    wait_for_row(killed, process, 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run("train", *arguments)
    assert_same_run(whole, killed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        "omniglot_alphabets.py:quick_large_sigma_imaml",
        "omniglot_alphabets.py:quick_small_a5_k1_reptile",
        "omniglot_few_shot.py:quick_5w1s_sigma_maml",
        "omniglot_few_shot.py:20w5s_meta_sgd",
    ],
)
def test_real_omniglot_survives_a_kill_and_a_stop(config, omniglot_dir, tmp_path):
    more = {"adapt.steps": 3, "model.image_size": 28, "task.image_size": 28}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run("train", *flags(f"configs/{config}", whole, 6, omniglot_dir, **more))
    arguments = flags(f"configs/{config}", killed, 6, omniglot_dir, **more)
    for sign, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 42)):
        process = start("train", *arguments)
        wait_for_row(killed, process, 0)
        time.sleep(0.2)
        process.send_signal(sign)
        assert process.wait() in (code, 0)
    run("train", *arguments)
    assert_same_run(whole, killed)
    run("evaluate", f"--workdir={killed}", "--kinds=all,selected")


BAD = {
    "no data": ({"task.data_dir": "nowhere"}, 3, "nowhere"),
    "more ways than classes": ({"task.ways": 9, "model.classes": 9}, 3, "9"),
    "more shots than images": ({"task.shots": 30}, 3, "images"),
    "no ways": ({"task.ways": 1}, 2, "ways=1"),
    "unknown precision": ({"model.precision": "int8"}, 2, "precision='int8'"),
    "a network too deep": ({"model.image_size": 8, "task.image_size": 8}, 2, "too small"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_sentence(case, photographs, tmp_path):
    changes, code, what = BAD[case]
    arguments = flags(PHOTOGRAPHS + "maml", tmp_path / "run", 2, photographs)
    arguments += [f"--config.{key}={value}" for key, value in changes.items()]
    error = run("train", *arguments, code=code).stderr
    lines = [line for line in error.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and what in lines[0], error
    assert "Traceback" not in error
    assert not (tmp_path / "run" / "checkpoints").exists()
