"""An exported backbone says how its pictures were read, so that adapting reads them likewise."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import DataError, Pictures, Task, TaskSource, UsageError, build, default_components
from meta_shrink.experiments.export_source import _recipe
from meta_shrink.images.npz_file import write_npz
from meta_shrink.images.prepare import prepare_images
from meta_shrink.tasks import TASKS, alphabets, few_shot
from tests.image_data import folder_files, write_files
from tests.numbered_images import numbered_omniglot
from tests.tiny_runs import NO_LOG, tiny_config

EPISODES = {"ways": 2, "shots": 1, "queries": 1}
AFFINE = {"scale": [0.9, 1.1], "shift": 0.1, "rotation": 10}


@pytest.fixture(autouse=True)
def fake_omniglot(monkeypatch):
    for module in (alphabets, few_shot):
        monkeypatch.setattr(module, "read_omniglot", numbered_omniglot)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> str:
    return write_files(tmp_path_factory.mktemp("photographs"), folder_files(two_classes()))


def two_classes() -> dict[str, dict[str, np.ndarray]]:
    """Of each split."""
    rng = np.random.default_rng(0)
    return {
        split: {f"{split}{n}": rng.integers(0, 256, [2, 6, 6, 3]).astype(np.uint8) for n in "ab"}
        for split in ("train", "val", "test")
    }


def pictures(name: str, **options: Any) -> Pictures:
    found = TASKS[name](seed=0, **options).pictures
    assert found is not None
    return found


def test_photographs(photographs):
    given = {"data_dir": photographs, **EPISODES}
    assert pictures("image_folder_few_shot", **given) == Pictures(84, 3, False, "lanczos", True)
    found = pictures(
        "image_folder_few_shot", image_size=9, interpolation="box", exif=False, **given
    )
    assert found == Pictures(9, 3, False, "box", False)


@pytest.mark.parametrize("invert", [True, False])
@pytest.mark.parametrize("interpolation", ["lanczos", "nearest"])
def test_characters(invert, interpolation):
    options: dict[str, Any] = {"data_dir": "", "invert": invert, "interpolation": interpolation}
    expected = Pictures(28, 1, invert, interpolation)
    assert pictures("omniglot_few_shot", **options, **EPISODES) == expected
    found = pictures("omniglot_alphabets", **options, augment=AFFINE)
    assert found == expected._replace(augment={**AFFINE, "fill": 0.0 if invert else 255.0})


def test_what_a_config_leaves_out_is_as_its_task_does_it():
    """Ink on paper in the files, white on black in the network."""
    assert pictures("omniglot_few_shot", data_dir="", **EPISODES).invert


@pytest.mark.parametrize(("made", "asked"), [("box", "lanczos"), ("lanczos", "bilinear")])
def test_a_prepared_file_of_another_resizing_is_refused(photographs, tmp_path, made, asked):
    prepare_images(photographs, str(tmp_path), image_size=9, interpolation=made, **NO_LOG)
    options = {"data_dir": str(tmp_path), "image_size": 9, **EPISODES}
    with pytest.raises(DataError, match=f"interpolation={made}, and task.interpolation is {asked}"):
        TASKS["image_folder_few_shot"](seed=0, interpolation=asked, **options)
    assert pictures("image_folder_few_shot", interpolation=made, **options).interpolation == made


def test_a_file_of_an_older_version_says_nothing_of_its_resizing(tmp_path):
    splits = few_shot.load_image_folder(
        write_files(tmp_path / "files", folder_files(two_classes())), image_size=9, **NO_LOG
    )
    write_npz(str(tmp_path / "images.npz"), splits, exif=True)
    options = {"data_dir": str(tmp_path), "image_size": 9, **EPISODES}
    assert pictures("image_folder_few_shot", interpolation="box", **options).size == 9


def own_experiment(source_pictures: Pictures | None, augment: Any = None, shape=(4, 4, 1)):
    """A user's own task source of random pictures, and a network for them."""
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, [6, *shape]), tf.float32)
    batch = (images, tf.constant([0, 1] * 3))
    task = Task(batch, batch, tf.constant([0, 0]))
    source = TaskSource(
        lambda key: task._replace(key=key),
        lambda index: task,
        augment=augment,
        pictures=source_pictures,
    )
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(2, name="out")]
    components = default_components()
    components = components._replace(
        models={"own": lambda *, seed: keras.Sequential(layers)},
        tasks={"own": lambda *, seed: source},
    )
    changes = {"task": {"name": "own"}, "model": {"name": "own"}}
    changes |= {"loss": {"name": "cross_entropy", "reduction": "mean"}}
    return build(tiny_config("maml", changes), components)


def test_a_users_own_source_states_it():
    stated = Pictures(4, 1, True, "box", False, augment=AFFINE)
    recipe = _recipe(own_experiment(stated, augment=lambda key, inputs: inputs), print)
    assert recipe.augment == AFFINE
    assert recipe.as_json()["images"] == {
        "size": 4,
        "channels": 1,
        "invert": True,
        "interpolation": "box",
        "exif": False,
    }


def test_other_data_has_no_pictures(capsys):
    recipe = _recipe(own_experiment(None), print)
    assert "images" not in recipe.as_json() and recipe.augment == {}
    assert capsys.readouterr().out == ""


def test_what_augments_and_cannot_be_told_is_said(capsys):
    for stated in (None, Pictures(4, 1)):
        _recipe(own_experiment(stated, augment=lambda key, inputs: inputs), print)
        assert "without the task source's own augmentation" in capsys.readouterr().out


WRONG = {
    "another size": (Pictures(5, 1), r"pictures of shape \[5, 5, 1\].*takes \[4, 4, 1\]"),
    "another number of channels": (Pictures(4, 3), r"shape \[4, 4, 3\]"),
    "an unknown resizing": (Pictures(4, 1, interpolation="cubic"), "interpolation is 'cubic'"),
    "an unknown augmentation": (Pictures(4, 1, augment={"shear": 1}), "'shear'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_facts_are_refused(case):
    stated, message = WRONG[case]
    with pytest.raises(UsageError, match=message):
        _recipe(own_experiment(stated), print)
