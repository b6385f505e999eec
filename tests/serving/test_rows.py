"""What a row has to look like."""

from __future__ import annotations

import numpy as np
import pytest

from meta_shrink import UsageError
from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.serving.rows import as_row
from tests.serving.fakes import fake_info


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"z": [1.0, 2.0]},
        {"x": [1.0, 2.0], "z": 3},
        {"x": [1.0]},
        {"x": [[1.0, 2.0]]},
        {"x": "text"},
        {"x": ["a", "b"]},
        {"x": [True, False]},
        {"x": [1.0, None]},
        {"x": [1.0, [2.0]]},
        {"x": [float("nan"), 1.0]},
        {"x": [1e300, 1.0]},
        {"x": [10**400, 1.0]},
        {"x": {}},
    ],
)
def test_wrong_inputs_are_usage_errors(inputs):
    with pytest.raises(UsageError, match="input"):
        as_row(fake_info(), inputs)


def test_integers_are_not_rounded_and_floats_may_be_integers():
    integers = fake_info(inputs=(ArraySpec("x", (2,), "int32"),))
    assert as_row(integers, {"x": [1, 2]})["x"].dtype == np.int32
    assert as_row(fake_info(), {"x": [1, 2]})["x"].dtype == np.float32
    for wrong in ([1.5, 2.0], [2**40, 1], [True, False]):
        with pytest.raises(UsageError, match=r"integers|int32"):
            as_row(integers, {"x": wrong})


def test_a_message_repeats_little_of_the_request():
    with pytest.raises(UsageError) as caught:
        as_row(fake_info(), {"y" * 1000 + str(number): 0 for number in range(1000)})
    assert len(str(caught.value)) < 1000


def test_axes_of_any_length():
    audio = fake_info(inputs=(ArraySpec("x", (None, 1), "float32"),))
    assert as_row(audio, {"x": [[1.0]] * 7})["x"].shape == (7, 1)
    for wrong in ([], [[]], [1.0], np.zeros([0, 1])):
        with pytest.raises(UsageError, match=r"expected \[any, 1\]"):
            as_row(audio, {"x": wrong})
