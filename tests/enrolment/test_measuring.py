"""The held-out metric of a task, a few rows at a time."""

from __future__ import annotations

import pytest

from meta_shrink.enrolment import task_adaptation
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from tests.enrolment.test_task_adaptation import HELDOUT, TRAIN


def test_a_few_rows_at_a_time_are_the_whole(backbone, monkeypatch):
    adapt = TaskAdaptation(backbone)
    whole = adapt(TRAIN, HELDOUT, steps=2).curve
    monkeypatch.setattr(task_adaptation, "MOST_OUTPUTS", 2 * 3)  # Two rows of three classes.
    assert [part.count for part in adapt._parts(HELDOUT)] == [2, 2, 2]
    assert adapt(TRAIN, HELDOUT, steps=2).curve == pytest.approx(whole, rel=1e-6)
