"""The functions that save and restore a SavedModel may not be bent: one change each, refused."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from meta_shrink import ArtefactError
from meta_shrink.backbones.operations import check_operations


def nodes_of(graph: Any, kind: str) -> Any:
    """The nodes of the function that TensorFlow added to "save" or to "restore"."""
    return next(
        function.node_def
        for function in graph.graph_def.library.function
        if f"traced_{kind}" in function.signature.name
    )


def node(nodes: Any, operation: str) -> Any:
    return next(item for item in nodes if item.op == operation)


def name_of(graph: Any, kind: str) -> str:
    names = [function.signature.name for function in graph.graph_def.library.function]
    return next(name for name in names if f"traced_{kind}" in name)


def constant(nodes: Any, *paths: bytes, shape: tuple[int, ...] = ()) -> str:
    made = nodes.add(name="hostile", op="Const")
    made.attr["dtype"].type = tf.string.as_datatype_enum
    made.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(list(paths), tf.string, shape))
    return "hostile:output:0"


def other_file(graph: Any) -> None:
    nodes = nodes_of(graph, "restore")
    node(nodes, "RestoreV2").input[0] = constant(nodes, b"elsewhere")


def other_end(graph: Any) -> None:
    nodes = nodes_of(graph, "save")
    for item in nodes:
        if b"_temp/part" in item.attr["value"].tensor.string_val:
            item.attr["value"].tensor.string_val[0] = b"/../../elsewhere"


def other_parts(graph: Any) -> None:
    """MergeV2Checkpoints removes the folders of what it merges."""
    nodes = nodes_of(graph, "save")
    node(nodes, "MergeV2Checkpoints").input[0] = constant(nodes, b"elsewhere", shape=(1,))


def other_argument(graph: Any) -> None:
    """A text that the main graph holds, as TensorFlow's own description of the objects."""
    for function in graph.graph_def.library.function:
        if "traced_restore" in function.signature.name:
            function.signature.input_arg.add(name="elsewhere", type=tf.string.as_datatype_enum)
    node(nodes_of(graph, "restore"), "RestoreV2").input[0] = "elsewhere"


def fixed_file(graph: Any) -> None:
    """The placeholder of the file name is a constant."""
    name = graph.saver_def.filename_tensor_name.removesuffix(":0")
    next(item for item in graph.graph_def.node if item.name == name).op = "Const"


def save_in_restore(graph: Any) -> None:
    saving = node(nodes_of(graph, "save"), "SaveV2")
    nodes_of(graph, "restore").add().CopyFrom(saving)


def called_elsewhere(graph: Any) -> None:
    call = graph.graph_def.node.add(name="again", op="StatefulPartitionedCall")
    call.attr["f"].func.name = name_of(graph, "save")


def called_by_name(graph: Any) -> None:
    graph.graph_def.node.add(name="again", op=name_of(graph, "restore"))


def branch_of_a_condition(graph: Any) -> None:
    call = graph.graph_def.node.add(name="again", op="Case")
    call.attr["branches"].list.func.add(name=name_of(graph, "save"))


def signature_that_saves(graph: Any) -> None:
    outputs = graph.signature_def["serving_default"].outputs
    outputs["saved"].name = graph.saver_def.save_tensor_name


def run_at_the_start(graph: Any) -> None:
    graph.collection_def["saved_model_main_op"].node_list.value.append(
        graph.saver_def.restore_op_name
    )


def needed_by_another_node(graph: Any) -> None:
    graph.graph_def.node.add(name="again", op="NoOp", input=[f"^{graph.saver_def.restore_op_name}"])


def object_that_saves(graph: Any) -> None:
    thing = graph.object_graph_def.nodes.add()
    thing.bare_concrete_function.concrete_function_name = name_of(graph, "save")


def gradient_that_saves(graph: Any) -> None:
    graph.graph_def.library.gradient.add(function_name="x", gradient_func=name_of(graph, "save"))


def saver_of_another_name(graph: Any) -> None:
    graph.saver_def.save_tensor_name = "none:0"


def interchangeable(graph: Any) -> None:
    for function in graph.graph_def.library.function:
        if "traced_save" in function.signature.name:
            function.attr["api_implements"].s = b"serve"


def function_called_as_an_operation(graph: Any) -> None:
    graph.graph_def.library.function.add().signature.name = "WriteFile"
    graph.graph_def.node.add(name="again", op="WriteFile")


def own_saver(graph: Any) -> None:
    graph.object_graph_def.nodes[1].registered_saver = "mine"


def no_saver(graph: Any) -> None:
    graph.ClearField("saver_def")


ALTERED = [other_file, other_end, other_parts, other_argument, fixed_file, save_in_restore]
ALTERED += [called_elsewhere, called_by_name, branch_of_a_condition, signature_that_saves]
ALTERED += [run_at_the_start, needed_by_another_node, object_that_saves, gradient_that_saves]
ALTERED += [saver_of_another_name, interchangeable, function_called_as_an_operation, own_saver]
ALTERED += [no_saver]


@pytest.mark.parametrize("alter", ALTERED, ids=lambda alter: alter.__name__)
def test_altered_savers(alter, folder, tmp_path):
    model = saved_model_pb2.SavedModel()
    with open(f"{folder}/1/saved_model.pb", "rb") as file:
        model.ParseFromString(file.read())
    for altered in (False, True):
        if altered:
            alter(model.meta_graphs[0])
        (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
        if altered:
            with pytest.raises(ArtefactError):
                check_operations(str(tmp_path))
        else:
            check_operations(str(tmp_path))
