"""Options of adaptation that are none are refused by name before anything is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meta_shrink import AdaptOptions, UsageError, adapt_tasks
from tests.tiny_runs import NO_LOG

LABELS = np.arange(9, dtype=np.int32) % 3
WRONG = [
    *(("steps", value) for value in (-1, 2.5, "3", True, float("nan"))),
    *(("seed", value) for value in (-1, 1.5, 2**31, None)),
    *(("points", value) for value in (1, 0, 2.5, "8")),
    *(("early_stop", value) for value in (-1, 1.5)),
    *(("num_heldout", value) for value in (-1, 1.5, 3)),
    *(("encoding", value) for value in ("f64", None, 16)),
    *(("consent", value) for value in (3, None)),
    *(("licence", value) for value in (b"CC0",)),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_that_is_none_is_refused(backbone, tmp_path, name, value):
    images = np.random.default_rng(0).integers(0, 256, [9, 8, 8, 1]).astype(np.uint8)
    options, out = AdaptOptions(steps=2)._replace(**{name: value}), Path(tmp_path, "out")
    with pytest.raises(UsageError, match=name):
        adapt_tasks(backbone, {"a": (images, LABELS)}, str(out), options, **NO_LOG)
    assert not out.exists()
