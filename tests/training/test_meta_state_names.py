"""Every variable has a name of its own in a checkpoint, whatever its layers are called."""

from __future__ import annotations

import pytest
import tensorflow as tf

from meta_shrink import MetaParams
from meta_shrink.training.meta_state import MetaState


@pytest.mark.parametrize(
    "names",
    [
        ("b/c/kernel", "b.c/kernel"),
        ("b/c.kernel", "b.c/kernel", "b/c/kernel"),
        ("a/kernel", "b/c/kernel", "b.c/kernel"),
    ],
)
def test_paths_that_differ_by_dots_and_slashes_are_kept_apart(names):
    phi = [tf.fill([2], float(n)) for n in range(len(names))]
    state = MetaState.create(MetaParams(phi, tf.zeros([1]), phi), {}, names=names)
    for component in ("phi", "log_alpha"):
        named = {k: v for k, v in state.learned().items() if k.startswith(component)}
        assert sorted(float(v[0]) for v in named.values()) == [float(n) for n in range(len(names))]


def test_other_names_are_as_they_always_were():
    state = MetaState.create(
        MetaParams([tf.zeros([2])], tf.zeros([1]), tf.zeros([1])), {}, names=("b.c/kernel",)
    )
    assert "phi.b.c.kernel" in state.learned()
