"""A backbone that would write, read or delete files is refused before anything of it runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from meta_shrink import ArtefactError, Backbone
from meta_shrink.backbones.operations import check_operations

raw = tf.raw_ops


def save(path: str) -> tf.Operation:
    return raw.SaveV2(prefix=path, tensor_names=["x"], shape_and_slices=[""], tensors=[[1.0]])


def restore(path: str) -> tf.Tensor:
    return raw.RestoreV2(
        prefix=path, tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
    )[0]


def merge(path: str) -> tf.Operation:
    return raw.MergeV2Checkpoints(checkpoint_prefixes=[path], destination_prefix=f"{path}_merged")


def write_text(path: str) -> tf.Operation:
    return raw.WriteFile(filename=path, contents="x")


FILES: dict[str, Callable[[str], Any]] = {
    "SaveV2": save,
    "RestoreV2": restore,
    "MergeV2Checkpoints": merge,
    "WriteFile": write_text,
}


def plain(operation: Callable[[], Any], x: tf.Tensor) -> tf.Tensor:
    operation()
    return x + 1.0


def in_a_condition(operation: Callable[[], Any], x: tf.Tensor) -> tf.Tensor:
    return tf.cond(tf.reduce_sum(x) > 0.0, lambda: plain(operation, x), lambda: x)


def in_a_loop(operation: Callable[[], Any], x: tf.Tensor) -> tf.Tensor:
    return tf.while_loop(lambda i, y: i < 1, lambda i, y: (i + 1, plain(operation, y)), (0, x))[1]


def in_a_called_function(operation: Callable[[], Any], x: tf.Tensor) -> tf.Tensor:
    return tf.function(lambda y: plain(operation, y))(x)


PLACES = (plain, in_a_condition, in_a_loop, in_a_called_function)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("operation", FILES)
def test_files_in_a_function(operation, place, tmp_path):
    module, target = tf.Module(), str(tmp_path / "target")
    module.call = tf.function(
        lambda x: place(lambda: FILES[operation](target), x), [tf.TensorSpec([2])]
    )
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.call)
    with pytest.raises(ArtefactError, match=operation):
        check_operations(str(tmp_path / "saved"))
    check_operations(str(tmp_path / "saved"), allow=[operation])


class Table(tf.saved_model.experimental.TrackableResource):
    """An object that TensorFlow makes and fills while it loads a model."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def _create_resource(self) -> tf.Tensor:
        return raw.VarHandleOp(dtype=tf.float32, shape=[])

    def _initialize(self) -> None:
        save(self._path)


def hostile_resource(path: str, target: str) -> None:
    module = tf.Module()
    module.table = Table(target)
    tf.saved_model.save(module, path)


def hostile_v1(path: str, target: str) -> None:
    """A model of TensorFlow 1, with an operation that runs when it is loaded."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.Variable(1.0, use_resource=True)
        main_op = save(target)
        session.run(tf.compat.v1.global_variables_initializer())
        builder = tf.compat.v1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, ["serve"], main_op=main_op)
        builder.save()


def harmless_v1(path: str, target: str) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.Variable(1.0, use_resource=True)
        session.run(tf.compat.v1.global_variables_initializer())
        builder = tf.compat.v1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, ["serve"])
        builder.save()


def with_an_asset(path: str, target: str) -> None:
    module = tf.Module()
    file = f"{path}.txt"
    with open(file, "w") as text:
        text.write("x")
    module.asset = tf.saved_model.Asset(file)
    tf.saved_model.save(module, path)


@pytest.mark.parametrize("make", [hostile_resource, hostile_v1, harmless_v1, with_an_asset])
def test_what_runs_while_it_is_loaded(make, folder, tmp_path):
    """In a folder that is otherwise a whole backbone; loading it leaves no file behind."""
    hostile, target = str(tmp_path / "backbone"), str(tmp_path / "target")
    shutil.copytree(folder, hostile)
    make(str(tmp_path / "saved"), target)
    shutil.copytree(str(tmp_path / "saved"), f"{hostile}/1", dirs_exist_ok=True)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ArtefactError, match=r"TensorFlow 2|holds an object"):
        Backbone.load(hostile)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb"])
def test_a_second_graph_beside(name, folder, tmp_path):
    shutil.copy(f"{folder}/1/saved_model.pb", tmp_path)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ArtefactError, match=name):
        check_operations(str(tmp_path))
