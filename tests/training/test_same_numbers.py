"""The numbers of every algorithm are those from before the code was rearranged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.reference_numbers import CASES, STORED, case_name, numbers

# XLA, which adds in another order as another processor does, differs by up to 5e-5.
TOLERANCE = 2e-4
QUICK_IN_CHUNKS = ("sigma_imaml",)


def marked(algorithm: str, in_chunks: bool):
    slow = in_chunks and algorithm not in QUICK_IN_CHUNKS
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(algorithm, in_chunks, marks=marks, id=case_name(algorithm, in_chunks))


@pytest.mark.parametrize(("algorithm", "in_chunks"), [marked(*case) for case in CASES])
def test_parameters_and_metrics_after_20_meta_steps(algorithm, in_chunks):
    """Within TOLERANCE of a variable's largest value; tests.reference_numbers compares the bits."""
    stored = json.loads(STORED.read_text())[case_name(algorithm, in_chunks)]["values"]
    found = numbers(algorithm, in_chunks)
    assert found.keys() == stored.keys()
    for name, value in found.items():
        largest = np.max(np.abs(stored[name]), initial=0.0)
        limit = TOLERANCE * (largest if np.isfinite(largest) else 1.0)
        np.testing.assert_allclose(np.ravel(value), stored[name], 0.0, limit, err_msg=name)
