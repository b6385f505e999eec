"""A run goes on, is evaluated and is warm-started with the data that it was made with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs import arrays, speech
from meta_shrink import UsageError, build, open_workdir, restore, train
from meta_shrink.experiments.sweep import sweep
from meta_shrink.experiments.warm_start import warm_started
from meta_shrink.images.classes import from_counts
from meta_shrink.tasks.data_digest import of_classes, of_examples, of_speakers
from meta_shrink.tasks.example_arrays import TaskExamples
from tests.speech.samples import prepared_folder, speaker
from tests.tiny_runs import NO_LOG

TASKS = 5


@pytest.fixture
def folder(tmp_path) -> Path:
    """Of small tasks, a file each."""
    data = tmp_path / "data"
    data.mkdir()
    for number in range(TASKS):
        x = np.linspace(-1, 1, 6, dtype=np.float32)[:, np.newaxis]
        np.savez(data / f"task_{number}.npz", inputs=x, targets=number * x)
    return data


def config_of(folder: Path, steps: int = 2) -> dict[str, Any]:
    config: Any = arrays.get_config("sigma_reptile")
    config.task.data_dir = str(folder)
    config.model.hidden = [2]
    config.train.update({"steps": steps, "meta_batch_size": 1, "jit": "off", "log_every": 1})
    config.adapt.steps = 2
    config.eval.num_tasks = config.eval.validation_tasks = 1
    return config.to_dict()


def run(workdir: Path, config: dict[str, Any], **options: Any) -> int:
    built = build(config)
    with open_workdir(str(workdir), built.config, **options, **NO_LOG) as opened:
        return int(train(built, opened, **NO_LOG).state.step.numpy())


def changed(folder: Path) -> bytes:
    """The file of a task, of which one number is another now."""
    path = folder / "task_3.npz"
    before = path.read_bytes()
    with np.load(path) as file:
        own = dict(file)
    own["targets"][2] += 1
    np.savez(path, **own)
    return before


def test_other_data_under_the_same_path_are_refused_until_they_are_allowed(folder, tmp_path):
    workdir = tmp_path / "run"
    assert run(workdir, config_of(folder)) == 2
    assert restore(str(workdir), **NO_LOG)[2] == 2
    before = changed(folder)
    with pytest.raises(UsageError, match=r"was made with another config: data: "):
        run(workdir, config_of(folder))
    with pytest.raises(UsageError, match=r"The data of task .* are not those .*data_dir=.*data"):
        restore(str(workdir), **NO_LOG)
    (folder / "task_3.npz").write_bytes(before)
    assert restore(str(workdir), **NO_LOG)[2] == 2
    changed(folder)
    more = config_of(folder, steps=3)
    assert run(workdir, more, allow_config_change=True) == 3
    assert restore(str(workdir), **NO_LOG)[2] == 3


@pytest.mark.programs
def test_a_search_does_not_go_on_with_other_data(folder, tmp_path):
    config = config_of(folder)
    space = [("adapt.learning_rate", "log", 1e-4, 1e-2)]
    config["search"] = {"num_trials": 1, "steps": 1, "space": space}
    directory = str(tmp_path / "search")
    assert len(sweep(config, directory, **NO_LOG).trials) == 1
    before = changed(folder)
    config["search"]["num_trials"] = 2
    with pytest.raises(UsageError, match=r"was made with another config: data: .*another folder"):
        sweep(config, directory, **NO_LOG)
    (folder / "task_3.npz").write_bytes(before)
    assert len(sweep(config, directory, **NO_LOG).trials) == 2


def test_a_run_that_did_not_record_its_data_goes_on(folder, tmp_path):
    workdir = tmp_path / "run"
    run(workdir, config_of(folder))
    path = workdir / "config.json"
    recorded = json.loads(path.read_text())
    assert len(recorded.pop("data")) == 64
    path.write_text(json.dumps(recorded))
    assert run(workdir, config_of(folder)) == 2
    assert restore(str(workdir), **NO_LOG)[2] == 2


@pytest.mark.programs
def test_a_warm_start_is_not_shared_with_other_data(tmp_path):
    data = tmp_path / "voices"
    data.mkdir()

    def started(seed: int):
        for number, split in enumerate(("train", "train", "test")):
            prepared_folder(data, [speaker(f"s{number}", [20, 33], split, seed + number)])
        config: Any = speech.get_config("quick_pretrained")
        config.task.update({"data_dir": str(data), "crop_frames": 6, "context_frames": 2})
        config.model.update({"frames": 8, "samples": 640, "channels": 2, "cycles": 1})
        cache = str(tmp_path / "cache")
        config.warm_start.update({"steps": 2, "validate_every": 2, "cache": cache})
        config.eval.groups, config.eval.num_tasks = {}, 1
        said: list[str] = []
        found = warm_started(build(config.to_dict()), str(tmp_path), said.append)
        return [value.numpy() for value in found], any("done before" in line for line in said)

    first, looked_up = started(seed=0)
    assert not looked_up
    again, looked_up = started(seed=0)
    assert looked_up and all((a == b).all() for a, b in zip(first, again, strict=True))
    other, looked_up = started(seed=10)
    assert not looked_up and any((a != b).any() for a, b in zip(first, other, strict=True))


def test_a_digest_is_of_all_that_decides_the_tasks():
    pixels = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3, 1)
    pool = from_counts(pixels, ["a", "b"], [2, 2], ["x", "y"])
    whole = of_classes({"train": pool})
    others = [
        {"test": pool},
        {"train": from_counts(pixels + 1, ["a", "b"], [2, 2], ["x", "y"])},
        {"train": from_counts(pixels, ["a", "c"], [2, 2], ["x", "y"])},
        {"train": from_counts(pixels, ["a", "b"], [1, 3], ["x", "y"])},
        {"train": from_counts(pixels, ["a", "b"], [2, 2], ["x", "z"])},
    ]
    assert len({whole, *map(of_classes, others)}) == 6
    assert (
        of_classes({"train": from_counts(pixels.copy(), ["a", "b"], [2, 2], ["x", "y"])}) == whole
    )

    one = speaker("s", [20, 33], "train", 0)
    heard = of_speakers([one])
    assert of_speakers([speaker("s", [20, 33], "train", 0)]) == heard
    sounds = [one._replace(name="t"), one._replace(split="test"), one._replace(sample_rate=8_000)]
    sounds += [one._replace(utterances=one.utterances[:1]), speaker("s", [20, 33], "train", 1)]
    assert len({heard, *(of_speakers([other]) for other in sounds)}) == 6

    task = TaskExamples({"x": np.zeros([2, 1]), "targets": np.zeros([2, 1])}, {})
    told = of_examples({"a": task})
    moved = TaskExamples({}, task.train)
    longer = task._replace(train=task.train | {"x": np.zeros([2, 2])})
    renamed = TaskExamples({"y": task.train["x"], "targets": task.train["targets"]}, {})
    assert len({told, of_examples({"b": task})} | {of_examples({"a": t}) for t in
               (moved, longer, renamed)}) == 5  # fmt: skip
