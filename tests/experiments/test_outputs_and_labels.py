"""A network has an output for each label of its tasks, or the config is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs import arrays
from meta_shrink import Task, TaskSource, UsageError, build
from meta_shrink.experiments.components import default_components
from meta_shrink.experiments.config import check_outputs
from meta_shrink.images.classes import from_counts
from meta_shrink.models import convnet
from meta_shrink.tasks.few_shot import episodes
from meta_shrink.types import batch_parts

ROWS = 20


def config_of(folder: Path, outputs: int, jit: str = "off") -> dict[str, Any]:
    config: Any = arrays.get_config("fomaml")
    config.task.update({"data_dir": str(folder), "targets": "labels", "classes": 3})
    config.loss.name = "cross_entropy"
    config.model.update({"outputs": outputs, "hidden": [2]})
    config.train.update({"steps": 2, "meta_batch_size": 1, "jit": jit})
    return config.to_dict()


@pytest.fixture
def rare(tmp_path) -> Path:
    """Tasks in which the last of three classes is in one file alone."""
    for number in range(6):
        labels = np.arange(ROWS) % (3 if number == 3 else 2)
        np.savez(tmp_path / f"t{number}.npz", inputs=np.full([ROWS, 1], number), targets=labels)
    return tmp_path


@pytest.mark.parametrize("jit", ["on", "off"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_too_few_outputs_for_the_classes_of_arrays(rare, outputs, jit):
    with pytest.raises(UsageError, match=rf"are 0 to 2, and the model has {outputs} outputs, for"):
        build(config_of(rare, outputs, jit))


@pytest.mark.parametrize("outputs", [3, 5])
def test_enough_are_taken(rare, outputs):
    assert build(config_of(rare, outputs)).source.classes == 3


@pytest.mark.parametrize(("ways", "fits"), [(2, True), (3, True), (4, False)])
def test_the_ways_of_an_episode_are_its_classes(ways, fits):
    pool = from_counts(np.zeros([20, 8, 8, 1], np.uint8), list("abcde"), [4] * 5, list("abcde"))
    pools = {"train": pool, "val": pool, "test": pool}
    source = episodes(pools, seed=0, ways=ways, shots=1, queries=2)
    model = convnet(seed=0, image_size=8, channels=1, classes=3, filters=2, blocks=2)
    assert source.classes == ways
    # Nothing is drawn of a source that says how many there are.
    asked = source._replace(sample=lambda key: pytest.fail("drawn"))

    def check() -> None:
        check_outputs(model, "cross_entropy", asked, lambda task, step: task.train)

    if fits:
        check()
    else:
        with pytest.raises(UsageError, match="are 0 to 3, and the model has 3 outputs"):
            check()
    check_outputs(model, "squared_error", asked, lambda task, step: task.train)


def own_source(labels: list[int]):
    """A user's own, which does not say how many classes it has."""

    def source(*, seed: int) -> TaskSource:
        batch = tf.ones([len(labels), 1]), tf.constant(labels)

        def task(key: tf.Tensor) -> Task:
            return Task(batch, batch, key)

        return TaskSource(task, lambda index: task(tf.constant([seed, 0])))

    return source


@pytest.mark.parametrize(("labels", "told"), [([0, 3], "0 to 3"), ([-1, 2], "-1 to 2")])
def test_the_labels_of_a_source_that_does_not_say(tmp_path, labels, told):
    config: Any = config_of(tmp_path, outputs=3) | {"task": {"name": "own"}}
    config["eval"]["validation_tasks"] = 1

    def built(labels: list[int]) -> Any:
        return build(config, default_components()._replace(tasks={"own": own_source(labels)}))

    with pytest.raises(UsageError, match=f"are {told}, and the model has 3 outputs"):
        built(labels)
    assert batch_parts(built([0, 2]).source.sample(tf.constant([0, 0])).val)[1].shape == [2]
