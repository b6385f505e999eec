"""Adapters side by side: their own memory a thread, lent to TensorFlow only where it is aligned."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from meta_shrink import Adapter
from meta_shrink.adapters.backbone_info import AdapterTensor
from meta_shrink.backbones.stacking import ALIGNMENT, Stacks, aligned, lent

TENSORS = tuple(
    AdapterTensor(f"a/{name}", "a", shape, "variable")
    for name, shape in (("kernel", (2, 3)), ("scale", ()))
)


def adapter(number: float) -> Adapter:
    tensors = {spec.name: np.full(spec.shape, number, np.float32) for spec in TENSORS}
    return cast(Adapter, SimpleNamespace(tensors=tensors))


def test_tensors_are_stacked_in_order():
    stacks = Stacks(TENSORS)
    first = stacks([adapter(1), adapter(2), adapter(3)])
    assert [value.shape for value in first.values()] == [(3, 2, 3), (3,)]
    assert first["a__scale"].tolist() == [1, 2, 3]
    second = stacks([adapter(4), adapter(5)])
    assert second["a__scale"].tolist() == [4, 5]
    assert first["a__scale"].tolist() == [4, 5, 3]  # As the docstring warns.


def test_threads_do_not_share_memory():
    stacks = Stacks(TENSORS)
    mine = stacks([adapter(1)])
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(stacks, [adapter(2)]).result()
    assert mine["a__scale"].tolist() == [1] and other["a__scale"].tolist() == [2]


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (16, 7, 2)])
def test_memory_is_aligned_and_lent_as_it_is(shape):
    memory = aligned(shape)
    memory[...] = 2.0
    assert memory.ctypes.data % ALIGNMENT == 0 and memory.shape == shape
    tensor = lent(memory)
    memory[...] = 3.0
    assert (tensor.numpy() == 3.0).all() and tuple(tensor.shape) == shape


def test_what_is_not_aligned_is_copied():
    odd = aligned((4,))[1:]
    odd[...] = 2.0
    tensor = lent(odd)
    odd[...] = 3.0
    assert tensor.numpy().tolist() == [2, 2, 2]
    assert lent(np.zeros([0, 2], np.float32)).shape == (0, 2)
