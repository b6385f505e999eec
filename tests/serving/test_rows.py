"""What a row has to look like."""

from __future__ import annotations

import ml_dtypes
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
        {"x": [10**20, True]},
        {"x": [True, 2**63]},
        {"x": [10**20, None]},
        {"x": [10**20, "1"]},
        {"x": [(True, 2), (3, 4)]},
        {"x": [np.bool_(True), 2]},
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


FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
POWERS = (7, 8, 15, 16, 31, 32, 52, 62, 63, 64, 66, 100, 1100)
NUMBERS = [sign * (2**power + more) for power in POWERS for sign in (1, -1) for more in (-1, 0, 1)]


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
@pytest.mark.parametrize("other", [1, -1, 2**63, 0.5])
def test_integers_of_any_size_are_exact_or_refused(dtype, other):
    """As JSON has them: JavaScript writes 1e20 as 100000000000000000000."""
    info = fake_info(inputs=(ArraySpec("x", (2,), dtype),))
    for number in NUMBERS:
        value = [number, other]
        expected, words = what_fits(value, dtype)
        if expected is not None:
            found = as_row(info, {"x": value})["x"]
            assert (found.dtype.name, found.astype(object).tolist()) == (dtype, expected)
            continue
        with pytest.raises(UsageError, match=words):
            as_row(info, {"x": value})


def what_fits(value, dtype):
    """(What an input of a type makes of numbers, None), or (None, what is said of them)."""
    if "float" in dtype:
        bits, largest = {
            "float16": (11, 65504.0),
            "bfloat16": (8, (2 - 2**-7) * 2.0**127),
            "float32": (24, (2 - 2**-23) * 2.0**127),
            "float64": (53, (2 - 2**-52) * 2.0**1023),
        }[dtype]
        rounded = [rounded_to(number, bits) for number in value]
        if any(abs(number) > largest for number in rounded):
            return None, f"not finite as {dtype}"
        return [float(number) for number in rounded], None
    if any(isinstance(number, float) for number in value):
        return None, "integers only"
    size = int(dtype.removeprefix("u").removeprefix("int"))
    low, high = (0, 2**size) if dtype[0] == "u" else (-(2 ** (size - 1)), 2 ** (size - 1))
    fits = all(low <= number < high for number in value)
    return (value, None) if fits else (None, f"do not fit {dtype}")


def rounded_to(number, bits):
    """The nearest number of so many bits, of two the even one; in integers, and 0.5."""
    more = max(abs(number).bit_length() - bits, 0) if isinstance(number, int) else 0
    if not more:
        return number
    whole, rest = divmod(abs(number), 2**more)
    up = 2 * rest > 2**more or (2 * rest == 2**more and whole % 2)
    return (whole + up) * 2**more * (1 if number > 0 else -1)


@pytest.mark.parametrize("shape", [(), (1,), (2, 1), (1, 1, 1)])
def test_large_integers_of_any_shape(shape):
    for dtype, number in (("float32", 2**100), ("uint64", 2**64 - 1), ("float64", 10**22)):
        info = fake_info(inputs=(ArraySpec("x", shape, dtype),))
        value = np.full(shape, number, object).tolist()
        found = as_row(info, {"x": value})["x"]
        assert found.shape == shape and found.astype(object).ravel()[0] == number
    info = fake_info(inputs=(ArraySpec("x", shape, "int64"),))
    with pytest.raises(UsageError, match="do not fit int64"):
        as_row(info, {"x": np.full(shape, 10**20, object).tolist()})


def test_bfloat16():
    """Numbers, its own arrays among them; finite as bfloat16, whose largest is 3.39e38."""
    info = fake_info(inputs=(ArraySpec("x", (2,), "bfloat16"),))
    for value in ([1, 2.5], np.array([1, 2.5], ml_dtypes.bfloat16), np.array([1, 2.5], "float16")):
        found = as_row(info, {"x": value})["x"]
        assert (found.dtype, found.tolist()) == (np.dtype(ml_dtypes.bfloat16), [1.0, 2.5])
    assert as_row(info, {"x": [3.38e38, 0.1]})["x"].tolist() == [0xFE * 2.0**120, 0.10009765625]
    for wrong, words in (
        ([3.4e38, 1], "not finite as bfloat16"),
        ([float("nan"), 1], "not finite"),
        ([True, 1], "numbers only"),
        ([True, False], "numbers only"),
        (["1", "2"], "numbers only"),
        (np.zeros(2, "V2"), "numbers only"),
        ([1.0], "shape"),
    ):
        with pytest.raises(UsageError, match=words):
            as_row(info, {"x": wrong})
    floats = fake_info()
    assert as_row(floats, {"x": np.array([1, 2], ml_dtypes.bfloat16)})["x"].dtype == np.float32


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
