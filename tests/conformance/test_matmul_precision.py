"""float32 means float32: what the compiled core says of the precision of its products."""

from __future__ import annotations

import re

import pytest
import tensorflow as tf

from meta_shrink import UsageError, build
from meta_shrink.rng import root_key
from meta_shrink.tasks import few_shot
from meta_shrink.training.meta_batch import make_core
from meta_shrink.training.meta_step import task_keys
from tests.conformance.test_compiles import config_of, noisy_omniglot

PRODUCT = re.compile(r" = \S+ (?:dot|convolution)\(")
EXACT = "operand_precision={highest,highest}"


@pytest.fixture(autouse=True)
def as_before():
    """The precision is one of the whole process."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


def products(network: str, algorithm: str, **device: str) -> list[str]:
    """The lines of all products in the compiled core: adaptation, Hessian products, the solve."""
    config = config_of(network, algorithm, jit=True) | {"device": device}
    experiment = build(config)
    core = make_core(
        experiment.meta_gradient,
        experiment.adapt.whole,
        experiment.source,
        task_axis="sequential",
        jit=True,
    )
    keys = task_keys(root_key(0, "train_tasks"), tf.constant(0, tf.int64), 0, 2)
    lowered = core.experimental_get_compiler_ir(experiment.initial, keys)(stage="hlo")
    return [line for line in lowered.splitlines() if PRODUCT.search(line)]


@pytest.mark.parametrize("algorithm", ["sigma_imaml", "sigma_reptile", "sigma_maml"])
def test_all_products_are_exact(algorithm):
    found = products("sinusoid", algorithm)
    assert len(found) >= 10
    assert [line for line in found if EXACT not in line] == []


def test_so_are_convolutions(monkeypatch):
    monkeypatch.setattr(few_shot, "read_omniglot", noisy_omniglot)
    found = products("stride", "sigma_imaml", matmul_precision="float32")
    assert sum("convolution(" in line for line in found) >= 5
    assert [line for line in found if EXACT not in line] == []


def test_the_accelerators_own_precision_is_there_to_choose():
    found = products("sinusoid", "sigma_imaml", matmul_precision="default")
    assert len(found) >= 10
    assert [line for line in found if EXACT in line] == []


def test_another_precision_is_refused():
    config = config_of("gaussian", "sigma_reptile", jit=False)
    with pytest.raises(UsageError, match=r"device\.matmul_precision is 'half'; expected one of"):
        build(config | {"device": {"matmul_precision": "half"}})
    with pytest.raises(UsageError, match="'device' has no key 'precision'"):
        build(config | {"device": {"precision": "float32"}})
