"""A flag that means something only with another one, or only of some data, is not ignored."""

from __future__ import annotations

import numpy as np
import pytest

from meta_shrink.errors import DataError
from meta_shrink.programs.cli import modules_in_words
from tests.refusals import refusals

pytestmark = pytest.mark.programs

# Kind of data, flag of another kind, whose it is.
OF_OTHERS = [
    ("omniglot", "--exif", "images"),
    ("omniglot", "--sample_rate=8000", "speech"),
    ("omniglot", "--processes=2", "speech"),
    ("images", "--download", "omniglot"),
    ("images", "--sample_rate=8000", "speech"),
    ("images", "--processes=2", "speech"),
    ("speech", "--download", "omniglot"),
    ("speech", "--image_size=28", "omniglot and images"),
    ("speech", "--interpolation=box", "omniglot and images"),
    ("speech", "--exif", "images"),
]


def test_prepare_data_refuses_a_flag_of_another_kind():
    lines = [[kind, "--from=x", flag] for kind, flag, _ in OF_OTHERS]
    for (kind, flag, whose), (code, told) in zip(
        OF_OTHERS, refusals("prepare_data", *lines), strict=True
    ):
        assert code == 2
        assert told.startswith(f"error: {flag.partition('=')[0]} is of {whose}, not of {kind}.")


@pytest.mark.parametrize("program", ["export_backbone", "export_litert"])
def test_exports_refuse_half_a_selection_and_two(program):
    both = ["--workdir=x", "--out=y"]
    lines = {
        "rule and value go together": [["--rule=gap"], ["--value=3"], ["--value=0"]],
        "rule selects modules, and modules names": [["--rule=gap", "--value=3", "--modules=a"]],
        "modules is []": [["--modules="]],
    }
    given = [[*both, *flags] for all_flags in lines.values() for flags in all_flags]
    expected = [sentence for sentence, all_flags in lines.items() for _ in all_flags]
    for sentence, (code, told) in zip(expected, refusals(program, *given), strict=True):
        assert (code, sentence in told) == (2, True), told


def test_evaluate_refuses_settings_of_groups_that_it_leaves_out():
    lines = [["--workdir=x", "--kinds=all", f"--{name}=3"] for name in ("group_tasks",
             "group_horizon")]  # fmt: skip
    for code, told in refusals("evaluate", *lines):
        assert (code, "is of single groups, which --kinds leaves out" in told) == (2, True), told


def test_pictures_to_hold_out_are_not_looked_for_in_a_file(tmp_path):
    from meta_shrink.enrolment.task_files import read_task

    path = str(tmp_path / "task.npz")
    np.savez(path, inputs=np.zeros([4, 1], np.float32), targets=np.zeros([4, 1], np.float32))
    with pytest.raises(DataError, match=r"num_heldout is 2, but .*task.npz is a file"):
        read_task(path, None, num_heldout=2)  # type: ignore[arg-type]


def test_all_of_many_modules_are_not_listed():
    assert modules_in_words(("a", "b"), 2) == "a, b"
    assert modules_in_words([f"m{n}" for n in range(154)], 154) == "all 154 modules"
    assert modules_in_words(["m1", "m2"], 154) == "m1, m2"
