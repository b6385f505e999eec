"""The predict API: forms of requests, errors of rows, and requests that are wrong."""

from __future__ import annotations

import json

import pytest

from meta_shrink.adapters.backbone_info import ArraySpec
from tests.serving.clients import ask
from tests.serving.fakes import OUTPUTS, FakeBackbone, put_adapter, put_broken, put_index


def test_rows_with_ids_aliases_and_none(tmp_path):
    key, other = put_adapter(tmp_path, 2), put_adapter(tmp_path, 3)
    put_index(tmp_path, {"task": other})
    request = {
        "instances": [
            [1, 2],
            {"x": [1.5, 2.5], "adapter": key},
            {"x": [1, 2], "adapter": "task"},
            {"x": [1, 2], "adapter": None},
            {"x": [1, 2]},
        ]
    }
    status, answer = ask(tmp_path, request)
    assert (status, list(answer)) == (200, ["predictions"])
    assert [row[0] for row in answer["predictions"]] == [3.0, 8.0, 9.0, 3.0, 3.0]
    _, answer = ask(tmp_path, {**request, "adapter": "task", "signature_name": "serving_default"})
    assert [row[0] for row in answer["predictions"]] == [9.0, 8.0, 9.0, 3.0, 9.0]


def test_columns(tmp_path):
    key = put_adapter(tmp_path, 2)
    for inputs in ({"x": [[1, 2], [3, 4]]}, [[1, 2], [3, 4]]):
        status, answer = ask(tmp_path, {"inputs": inputs, "adapter": key})
        assert (status, answer) == (200, {"outputs": [[6.0] * 4, [14.0] * 4]})
    _, answer = ask(tmp_path, {"inputs": [[1, 2], [3, 4]], "adapter": [None, key]})
    assert [row[0] for row in answer["outputs"]] == [3.0, 14.0]


def test_several_inputs_and_outputs(tmp_path):
    inputs = (*FakeBackbone().info.inputs, ArraySpec("n", (), "int32"))

    def two():
        return FakeBackbone(inputs, (*OUTPUTS, ArraySpec("z", (4,), "float32")))

    row = {"x": [1, 2], "n": 3}
    status, answer = ask(tmp_path, {"instances": [row]}, backbone=two())
    assert (status, answer) == (200, {"predictions": [{"y": [3.0] * 4, "z": [3.0] * 4}]})
    columns = {"inputs": {"x": [[1, 2]], "n": [3]}}
    status, answer = ask(tmp_path, columns, backbone=two())
    assert (status, answer) == (200, {"outputs": {"y": [[3.0] * 4], "z": [[3.0] * 4]}})
    status, answer = ask(tmp_path, {"instances": [[1, 2]]}, backbone=two())
    assert (status, "object with the keys x, n" in answer["error"]) == (400, True)


class Bfloat16(FakeBackbone):
    """Takes and answers bfloat16."""

    def __init__(self):
        inputs, outputs = (ArraySpec("x", (2,), "bfloat16"),), (ArraySpec("y", (4,), "bfloat16"),)
        super().__init__(inputs, outputs)

    def predict_mixed(self, inputs, adapters, index):
        assert inputs["x"].dtype.name == "bfloat16"
        outputs = super().predict_mixed(inputs, adapters, index)
        return {name: value.astype("bfloat16") for name, value in outputs.items()}


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_a_network_of_bfloat16_is_served(tmp_path, form):
    """Numbers in, numbers out; finite as bfloat16, whose largest is 3.39e38."""
    key = put_adapter(tmp_path, 2)
    answers = {"instances": "predictions", "inputs": "outputs"}
    request = {form: [[1, 2.5], [10**20, 0]], "adapter": key}
    status, answer = ask(tmp_path, request, backbone=Bfloat16())
    assert (status, answer[answers[form]]) == (200, [[7.0] * 4, [2 * 0xAD * 2.0**59] * 4])
    for wrong, words in (
        (b"[1, 3.4e38]", "not finite as bfloat16"),
        (b"[1, true]", "numbers only"),
        (b'[1, "2"]', "numbers only"),
        (b"[1]", "shape"),
    ):
        body = b'{"%s": [%s]}' % (form.encode(), wrong)
        status, answer = ask(tmp_path, body, backbone=Bfloat16())
        assert (status, words in answer["error"]) == (400, True), answer


def test_failing_rows_have_errors_of_their_own(tmp_path):
    good, broken = put_adapter(tmp_path, 2), put_broken(tmp_path)
    names = [good, "c" * 64, broken, "../../etc/passwd", "http://x", "", "x" * 10**6, 7, ["a"]]
    request = {"instances": [{"x": [1, 2], "adapter": name} for name in names]}
    status, answer = ask(tmp_path, request)
    assert status == 200
    assert answer["predictions"] == [[6.0] * 4] + [None] * 8
    codes = [(error["row"], error["code"]) for error in answer["errors"]]
    assert codes == [(1, "not_found"), (2, "pin"), *((row, "id") for row in range(3, 9))]
    assert str(tmp_path) not in json.dumps(answer)
    request = {"inputs": [[1, 2], [1, 2]], "adapter": [good, "nobody"]}
    status, answer = ask(tmp_path, request)
    assert (status, answer["outputs"]) == (200, [[6.0] * 4, None])


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("nobody", 404, "not_found"), ("b" * 64, 503, "pin"), ("../x", 400, "id")],
)
def test_a_request_of_which_all_rows_fail_has_the_status(tmp_path, name, status, code):
    put_broken(tmp_path)
    got, answer = ask(tmp_path, {"instances": [[1, 2], [3, 4]], "adapter": name})
    assert (got, answer["code"], set(answer)) == (status, code, {"error", "code"})


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b"[" * 100_000, "too deep"),
        (b"[]", "an object"),
        (b'{"instances": [[NaN, 1]]}', "holds NaN"),
        (b'{"instances": [[1, -Infinity]]}', "holds -Infinity"),
        (b'{"instances": [[1e999, 1]]}', "not finite"),
        (b'{"instances": [{"x": [1, 2], "adapter": "a", "adapter": "b"}]}', "twice"),
        (b'{"instances": [[1%s, 1]]}' % (b"0" * 400), "not finite as float32"),
        (b'{"instances": [[1%s, true]]}' % (b"0" * 20), "numbers only"),
        (b'{"instances": [[' + b"1" * 5000 + b", 1]]}", "not JSON"),
        ({}, '"instances" or "inputs"'),
        ({"instances": [], "inputs": []}, '"instances" or "inputs"'),
        ({"instances": []}, "0 rows"),
        ({"instances": [[1, 2]] * 9}, "9 rows; expected 1 to 8"),
        ({"instances": 3}, "a list"),
        ({"instances": [[1, 2]], "path": "x"}, "unknown key 'path'"),
        ({"instances": [[1, 2]], "signature_name": "other"}, "signature_name"),
        ({"instances": [[1, 2], [1, 2, 3]]}, "Row 1: input 'x' has the shape [3]; expected [2]"),
        ({"instances": [{"y": [1, 2]}]}, "Row 0: the inputs are 'y'; expected 'x'"),
        ({"instances": [["1", "2"]]}, "numbers only"),
        ({"instances": [[True, False]]}, "numbers only"),
        ({"instances": [[True, 2]]}, "numbers only"),
        ({"inputs": {"x": [[1, 2], [0.5, False]]}}, "Row 1: input 'x' has to consist of numbers"),
        ({"instances": [None]}, "numbers only"),
        ({"inputs": {"x": 3}}, "a list for each input"),
        ({"inputs": {}}, "a list for each input"),
        ({"inputs": [[1, 2]], "adapter": ["a", "b"]}, "different lengths"),
    ],
)
def test_wrong_requests_are_400_with_a_sentence(tmp_path, request_, sentence):
    status, answer = ask(tmp_path, request_, max_queue=8)
    assert (status, answer["code"]) == (400, "request")
    assert sentence in answer["error"]
    assert len(answer["error"]) < 400
