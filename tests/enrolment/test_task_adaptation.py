"""A task adapted by the exported backbone is the task adapted in memory; tasks as files."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from meta_shrink.adaptation import adaptation, full_batch, random_batch
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.source import moment_variables
from meta_shrink.backbones.writing import save_backbone
from meta_shrink.enrolment.adapt_tasks import AdaptOptions, _settings, adapt_tasks
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.enrolment.task_files import Examples, TaskFiles, read_task, task_paths
from meta_shrink.errors import DataError, Preempted, UsageError
from meta_shrink.keras_model import moments
from meta_shrink.losses import negative_log_likelihood
from meta_shrink.proximal import TASK_OPTIMIZERS
from meta_shrink.tasks.augment import random_affine
from meta_shrink.types import Task
from meta_shrink.variable_paths import relative_path
from tests.backbones.sources import small_convnet, source_of

RNG = np.random.default_rng(0)
LABELS = np.arange(9, dtype=np.int32) % 3
TRAIN = Examples({"images": RNG.integers(0, 256, [9, 8, 8, 1]).astype(np.uint8)}, LABELS)
HELDOUT = Examples(
    {"images": RNG.integers(0, 256, [6, 8, 8, 1]).astype(np.uint8)},
    np.arange(6, dtype=np.int32) % 3,
)
AUGMENT = {"scale": [0.8, 1.2], "shift": 0.2, "rotation": 30, "fill": 0.0}


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"optimizer": {"name": "proximal_adam"}},
        {"batch_size": 4},
        {"batch_size": 4, "augment": AUGMENT},
        {"augment": AUGMENT},
    ],
)
def test_as_in_memory(recipe, tmp_path):
    own: dict[str, Any] = {"sigma2": [9.0, 9.0, 0.5, 0.1, 0.02], "rate": [9.0, 9.0, 0.1, 0.05, 0.2]}
    source = source_of(small_convnet(), ["conv_1", "bn_1", "output"], **own, **recipe)
    save_backbone(source, str(tmp_path))
    adapted = TaskAdaptation(Backbone.load(str(tmp_path)))(TRAIN, steps=7, seed=3)
    settings = source.adaptation
    augment = random_affine(**AUGMENT) if settings.augment else None
    size = settings.batch_size
    steps = adaptation(
        negative_log_likelihood(source.model, source.example_loss, native=True),
        TASK_OPTIMIZERS[settings.optimizer["name"]](),
        source.registry,
        next_batch=random_batch(size=size, augment=augment)
        if size
        else full_batch(augment=augment),
        modules=source.selection.modules,
    )
    images, labels = tf.constant(TRAIN.inputs["images"]), tf.constant(TRAIN.targets)
    task = Task((images, labels), (), tf.constant([3, 0]))
    theta = steps.advance(source.meta, task, steps.start(source.meta), 7).theta
    for path, value in zip(source.registry.paths, theta, strict=True):
        if path in adapted.tensors:
            np.testing.assert_allclose(adapted.tensors[path], value, atol=2e-5, err_msg=path)
    if augment is None:
        state = moments(source.model, theta, images)
        paths = [relative_path(source.model, v) for v in source.model.non_trainable_variables]
        for path, _ in moment_variables(source.model):
            expected = state[paths.index(path)]
            np.testing.assert_allclose(adapted.tensors[path], expected, rtol=1e-3, atol=1e-4)


def test_tasks_of_any_size_are_traced_once(backbone):
    adapt = TaskAdaptation(backbone)
    for count in (3, 5, 9, 7):
        examples = Examples({"images": TRAIN.inputs["images"][:count]}, LABELS[:count])
        adapt(examples, steps=2)
    assert adapt._advance.experimental_get_tracing_count() <= 2


def test_early_stopping_keeps_the_best(backbone, monkeypatch):
    adapt = TaskAdaptation(backbone)
    values = iter([0.2, 0.6, 0.5, 0.4, 0.9])
    monkeypatch.setattr(adapt, "_measure", lambda tensors, heldout: next(values))
    adapted = adapt(TRAIN, HELDOUT, steps=9, record=[0, 1, 2, 3], early_stop=2)
    assert adapted.steps == 1 and list(adapted.curve) == [0, 1, 2, 3]
    whole = TaskAdaptation(backbone)(TRAIN, HELDOUT, steps=9, record=[0, 1, 2, 3])
    assert whole.steps == 9 and list(whole.curve) == [0, 1, 2, 3, 9]
    with pytest.raises(UsageError, match="held-out"):
        adapt(TRAIN, early_stop=1)


def test_a_stop_is_heard(backbone):
    with pytest.raises(Preempted):
        TaskAdaptation(backbone)(TRAIN, stop_requested=lambda: True)


def write_npz(path, train=TRAIN, heldout=HELDOUT):
    arrays: dict[str, Any] = {"inputs": train.inputs["images"], "targets": train.targets}
    if heldout is not None:
        arrays |= {"heldout_inputs": heldout.inputs["images"], "heldout_targets": heldout.targets}
    np.savez(path, **arrays)


def test_a_folder_of_tasks_resumes(backbone, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for name in ("b", "a", "c"):
        write_npz(data / f"{name}.npz")
    calls = iter(range(100))
    stop = lambda: next(calls) >= 5  # noqa: E731
    with pytest.raises(Preempted):
        adapt_tasks(backbone, str(data), str(out), AdaptOptions(steps=4), stop_requested=stop)
    first = json.loads((out / "index.json").read_text())
    assert list(first) == ["a"]
    tasks = adapt_tasks(backbone, str(data), str(out), AdaptOptions(steps=4))
    assert list(tasks) == ["a", "b", "c"]
    # Equal data gives equal bytes, hence one file.
    assert len({entry["adapter"] for entry in tasks.values()}) == 1
    assert set(tasks["a"]["metric"]) >= {"0", "4"}
    for name, identity in json.loads((out / "index.json").read_text()).items():
        adapter = backbone.load_adapter(str(out / f"{identity}.safetensors"), sha256=identity)
        assert name in "abc" and adapter.manifest.task.id == ""
    again = adapt_tasks(backbone, str(data), str(out), AdaptOptions(steps=5))
    assert again["a"]["adapter"] != tasks["a"]["adapter"]


def picture_backbone(tmp_path):
    images = {"size": 8, "channels": 1, "invert": True, "interpolation": "bilinear"}
    source = source_of(small_convnet(), ["output"], pictures=images)
    save_backbone(source, str(tmp_path / "backbone"))
    return Backbone.load(str(tmp_path / "backbone"))


def write_pictures(folder, counts):
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = RNG.integers(0, 256, [8, 8, 3]).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def test_a_folder_of_pictures(tmp_path):
    backbone = picture_backbone(tmp_path)
    write_pictures(tmp_path / "tasks" / "mine", {"x": 4, "y": 3, "z": 5})
    assert list(task_paths(str(tmp_path / "tasks"))) == ["mine"]
    assert list(task_paths(str(tmp_path / "tasks" / "mine"))) == ["mine"]
    task = read_task(str(tmp_path / "tasks" / "mine"), backbone.info, num_heldout=2)
    assert task.classes == ("x", "y", "z")
    assert np.asarray(task.train.targets).tolist() == [0, 0, 1, 2, 2, 2]
    assert task.heldout is not None and len(task.heldout.targets) == 6
    first = np.asarray(Image.open(tmp_path / "tasks" / "mine" / "x" / "0.png"))
    grey = 255 - first.mean(-1, keepdims=True).round().astype(np.uint8)
    np.testing.assert_array_equal(task.train.inputs["images"][0], grey)
    assert adapt_tasks(backbone, str(tmp_path / "tasks"), str(tmp_path / "out"), AdaptOptions())


def bad_tasks(tmp_path):
    """(what makes the data, words of the sentence)."""
    images, labels = TRAIN.inputs["images"], LABELS
    return {
        "text": (lambda f: f.write_text("no"), "NPZ"),
        "no targets": (lambda f: np.savez(f, inputs=images), "targets"),
        "other name": (lambda f: np.savez(f, pictures=images, targets=labels), "pictures"),
        "shape": (lambda f: np.savez(f, inputs=images[:, :5], targets=labels), "shape"),
        "lengths": (lambda f: np.savez(f, inputs=images[:4], targets=labels), "shape"),
        "empty": (lambda f: np.savez(f, inputs=images[:0], targets=labels[:0]), "shape"),
        "float labels": (lambda f: np.savez(f, inputs=images, targets=labels + 0.5), "int32"),
        "not finite": (lambda f: np.savez(f, inputs=images * np.nan, targets=labels), "finite"),
        "objects": (lambda f: np.savez(f, inputs=np.array([{}]), targets=labels), "NPZ"),
        "label too large": (lambda f: np.savez(f, inputs=images, targets=labels + 1), "classes"),
    }


@pytest.mark.parametrize("case", list(bad_tasks(None)))
def test_bad_task_files(case, backbone, tmp_path):
    write, words = bad_tasks(tmp_path)[case]
    path = tmp_path / "task.npz"
    write(path)
    with pytest.raises(DataError, match=words):
        read_task(str(path), backbone.info)


def test_bad_folders(backbone, tmp_path):
    with pytest.raises(DataError, match="no task"):
        task_paths(str(tmp_path))
    with pytest.raises(DataError, match="no task"):
        task_paths(str(tmp_path / "none"))
    write_pictures(tmp_path / "mine", {"x": 2, "y": 2})
    with pytest.raises(DataError, match="not of images"):
        read_task(str(tmp_path / "mine"), backbone.info)
    of_pictures = picture_backbone(tmp_path).info
    with pytest.raises(DataError, match="2 classes"):
        read_task(str(tmp_path / "mine"), of_pictures)
    write_pictures(tmp_path / "mine", {"z": 1})
    with pytest.raises(DataError, match="at least one"):
        read_task(str(tmp_path / "mine"), of_pictures, num_heldout=1)
    write_npz(tmp_path / "bad name!.npz")
    # The second would hide the adapter of that id from a server.
    write_npz(tmp_path / f"{'0' * 64}.npz")
    for name in ("bad name!", "0" * 64):
        with pytest.raises(DataError, match="another name"):
            adapt_tasks(
                backbone, str(tmp_path / f"{name}.npz"), str(tmp_path / "o"), AdaptOptions()
            )


def test_early_stopping_counts_records_in_a_row(backbone, monkeypatch):
    adapt = TaskAdaptation(backbone)
    values = iter([0.2, 0.1, 0.6, 0.5, 0.7, 0.4, 0.3, 0.9])
    monkeypatch.setattr(adapt, "_measure", lambda tensors, heldout: next(values))
    adapted = adapt(TRAIN, HELDOUT, steps=9, record=range(8), early_stop=2)
    assert adapted.steps == 4 and list(adapted.curve) == [0, 1, 2, 3, 4, 5, 6]


def test_fewer_examples_than_a_mini_batch_are_seen_whole(backbone):
    few = Examples({"images": TRAIN.inputs["images"][:3]}, LABELS[:3])
    whole, mini = TaskAdaptation(backbone), TaskAdaptation(backbone)
    mini.batch_size = 4
    expected = whole(few, steps=2).tensors
    for name, value in mini(few, steps=2).tensors.items():
        np.testing.assert_array_equal(value, expected[name])


def test_a_task_is_done_again_where_its_data_the_backbone_or_an_option_changed():
    def settings(fingerprint="weights", sha256="data", **options):
        backbone: Any = SimpleNamespace(info=SimpleNamespace(fingerprint={"of": fingerprint}))
        return _settings(backbone, TaskFiles(TRAIN, None, (), sha256), AdaptOptions(**options))

    others = [settings("other"), settings(sha256="other"), settings(steps=3), settings(seed=1)]
    assert settings() == settings() and len({settings(), *others}) == 5


def test_an_adapter_that_is_gone_is_made_again(backbone, tmp_path):
    write_npz(tmp_path / "a.npz")
    run = partial(adapt_tasks, backbone, str(tmp_path / "a.npz"), str(tmp_path / "out"))
    entry = run(AdaptOptions(steps=1))["a"]
    (tmp_path / "out" / f"{entry['adapter']}.safetensors").unlink()
    assert run(AdaptOptions(steps=1))["a"] == entry
    assert (tmp_path / "out" / f"{entry['adapter']}.safetensors").exists()
