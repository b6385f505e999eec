"""A warm start that cannot be carried out is refused before a run has recorded its config."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from meta_shrink import UsageError, build
from meta_shrink.experiments.train import check_trainable
from meta_shrink.types import Labelled, Mixed
from tests.tiny_runs import tiny_config


def draw(key: Any, size: int) -> Any:
    return tf.zeros([size, 1]), tf.zeros([size], tf.int32)


SOURCES = {
    "labelled": {"labelled": Labelled(2, draw)},
    "mixed": {"mixed": Mixed(draw, lambda size: draw(None, size))},
}


def check(kind: str, section: dict[str, Any]) -> None:
    warm = {f"warm_start.{key}": value for key, value in {"steps": 3, **section}.items()}
    experiment = build(tiny_config("maml", warm))
    source = experiment.source._replace(**SOURCES[kind])
    check_trainable(experiment._replace(source=source), tf.distribute.get_strategy())


REFUSED = [
    ("labelled", {"steps": -1}, "warm_start got steps=-1"),
    ("labelled", {"batch_size": 0}, "batch_size=0"),
    ("labelled", {"learning_rate": 0.0}, "learning_rate=0.0"),
    ("labelled", {"learning_rate": float("inf")}, "learning_rate=inf"),
    ("labelled", {"batch_size": None}, "'warm_start' lacks batch_size"),
    ("labelled", {"halve_every": 5}, "has no key 'halve_every'"),
    ("labelled", {"task": {}}, "has no key 'task'"),
    ("labelled", {"augment": {"turn": 5}}, "'warm_start.augment' has no key 'turn'"),
    ("mixed", {"steps": -1}, "warm_start got steps=-1"),
    ("mixed", {"batch_size": 0}, "batch_size=0"),
    ("mixed", {"learning_rate": float("inf")}, "learning_rate=inf"),
    ("mixed", {"halve_every": -1}, "halve_every=-1"),
    ("mixed", {"clip_norm": -1.0}, "clip_norm=-1.0"),
    ("mixed", {"validation_size": 0}, "validation_size=0"),
    ("mixed", {"validate_every": 0}, "validate_every=0"),
    ("mixed", {"cach": "there"}, "has no key 'cach' .nearest: 'cache'"),
    ("mixed", {"augment": {"rotation": 5}}, "warm_start.augment is of images"),
    ("mixed", {"task": ["a"]}, r"warm_start.task is \['a'\]; expected a dict"),
]


@pytest.mark.parametrize(("kind", "section", "sentence"), REFUSED)
def test_what_cannot_be_carried_out_is_refused(kind, section, sentence):
    with pytest.raises(UsageError, match=sentence):
        check(kind, section)


@pytest.mark.parametrize("kind", SOURCES)
def test_what_can_be_is_not(kind, tmp_path):
    check(kind, {"cache": str(tmp_path / "not" / "there")})
    check(kind, {"steps": 0, "batch_size": 0})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("below", ["", "/a/b"])
def test_a_cache_that_is_or_lies_in_a_file_is_refused(kind, below, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=r"warm_start.cache is .*file is no folder: name another"):
        check(kind, {"cache": f"{tmp_path}/file{below}"})


def test_a_section_without_a_number_of_steps_is_no_warm_start():
    experiment = build(tiny_config("maml", {"warm_start": {}}))
    check_trainable(experiment, tf.distribute.get_strategy())
    with pytest.raises(UsageError, match="nothing would be learned"):
        check_trainable(
            build(tiny_config("maml", {"warm_start": {}, "train.steps": 0})),
            tf.distribute.get_strategy(),
        )
