"""An exported backbone says how its pictures were read, so that adapting reads them likewise."""

from __future__ import annotations

import keras
import pytest

from meta_shrink.experiments.export_source import _images
from meta_shrink.tasks import TASKS

DEFAULTS = {
    "image_folder_few_shot": {"size": 84, "invert": False},
    "omniglot_few_shot": {"size": 28, "invert": True},
    "omniglot_alphabets": {"size": 28, "invert": True},
}


def images(task: dict, channels: int = 3) -> dict:
    model = keras.Sequential([keras.Input((42, 42, channels)), keras.layers.Flatten()])
    return _images(task, TASKS[task["name"]], model)


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_a_config_leaves_out_is_as_its_task_does_it(name):
    others = {"channels": 3, "interpolation": "lanczos", "exif": True}
    assert images({"name": name}) == DEFAULTS[name] | others


@pytest.mark.parametrize("key", ["exif", "invert"])
@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("name", DEFAULTS)
def test_what_a_config_says(name, key, value):
    task = {"name": name, "image_size": 42, "interpolation": "box", key: value}
    found = images(task, channels=1)
    assert (found[key], found["size"], found["interpolation"]) == (value, 42, "box")
    assert found["channels"] == 1


def test_other_data_has_no_pictures():
    assert images({"name": "sinusoid"}) == {}
