"""What an export says and computes, against numbers worked out by hand."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ArtefactError, Backbone, save_backbone
from meta_shrink.adapters.backbone_info import (
    EXTRA,
    INFO_FILE,
    read_backbone_info,
    weights_sha256,
)
from meta_shrink.backbones.signatures import loss_of
from meta_shrink.backbones.writing import _modules, _tolerance
from tests.backbones.sources import small_convnet, source_of

NAMES = ["conv_0", "bn_0", "conv_1", "bn_1", "output"]
SIGMA2, RATES = [0.5, 1.0, 2.0, 4.0, 8.0], [0.1, 0.2, 0.3, 0.4, 0.5]


def test_the_loss_that_adaptation_minimises_is_a_sum_or_a_mean():
    """y = 2 x at x = 3 and 1 with targets 5 and 0: errors 1 and 2, squared errors 1 and 4."""
    inputs = keras.Input((1,), name="x")
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", name="line")
    model = keras.Model(inputs, layer(inputs))
    model.set_weights([np.array([[2.0]])])
    examples, targets = {"x": tf.constant([[3.0], [1.0]])}, tf.constant([[5.0], [0.0]])
    for reduction, expected in (("sum", 5.0), ("mean", 2.5)):
        source = source_of(model, ["line"], classification=False, reduction=reduction)
        assert float(loss_of(source, examples, {"targets": targets}, {})) == pytest.approx(expected)


def test_a_backbone_tells_the_rate_and_variance_of_each_module():
    source = source_of(small_convnet(), ["conv_1", "output"], sigma2=SIGMA2, rate=RATES)
    facts = _modules(source)
    assert [fact.name for fact in facts] == NAMES
    np.testing.assert_allclose([fact.sigma2 or 0.0 for fact in facts], SIGMA2, rtol=1e-6)
    np.testing.assert_allclose([fact.learning_rate for fact in facts], RATES, rtol=1e-6)
    assert [fact.selected for fact in facts] == [False, False, True, False, True]
    # 3 x 3 x 1 x 4 weights and 4 biases; scale and shift of 4 channels; 2 x 2 x 4 features to 3.
    assert [fact.size for fact in facts] == [40, 8, 148, 8, 51]


def test_rates_per_parameter_are_told_as_the_mean_of_the_module():
    source = source_of(small_convnet(), ["output"], rate=RATES)
    phi = source.meta.phi
    logs = [tf.math.log(tf.fill(p.shape, 0.5 + number)) for number, p in enumerate(phi)]
    facts = _modules(source._replace(meta=source.meta._replace(log_alpha=logs)))
    # conv_0: 36 weights at 0.5 and 4 biases at 1.5.
    assert facts[0].learning_rate == pytest.approx((36 * 0.5 + 4 * 1.5) / 40, rel=1e-6)


def test_a_module_without_a_prior_has_no_variance():
    source = source_of(small_convnet(), ["output"], sigma2=[np.inf, 1.0, 1.0, 1.0, 1.0])
    assert [fact.sigma2 is None for fact in _modules(source)] == [True, False, False, False, False]


@pytest.mark.parametrize(("precision", "expected"), [("float32", 1e-3), ("bfloat16", 3e-2)])
def test_the_tolerance_is_that_of_the_least_precise_layer(precision, expected):
    model = small_convnet(precision=precision)
    assert _tolerance(source_of(model, ["output"])) == expected


def test_weights_are_hashed_with_their_numbers_shapes_and_types():
    weights = np.array([1.0, -2.5], np.float32)
    by_hand = hashlib.sha256(b'[[2],"<f4"]' + bytes.fromhex("0000803f000020c0")).hexdigest()
    assert weights_sha256([weights]) == weights_sha256([weights.astype(">f4")]) == by_hand
    others = [
        [np.array([1.0, -2.5000002], np.float32)],
        [weights[::-1]],
        [weights[np.newaxis]],
        [weights.astype(np.float64)],
        [weights, weights],
    ]
    assert len({by_hand, *map(weights_sha256, others)}) == 6


def test_weights_that_are_not_those_of_the_description_are_not_served(folder, tmp_path):
    copy = tmp_path / "backbone"
    shutil.copytree(folder, copy)
    path = copy / "1" / EXTRA / INFO_FILE
    info = read_backbone_info(folder)
    path.write_bytes(replace(info, weights_sha256=info.weights_sha256[::-1]).to_json() + b"\n")
    with pytest.raises(ArtefactError, match=r"are not those of its backbone\.json"):
        Backbone.load(str(copy))


def test_the_number_of_a_removed_version_is_not_used_again(source, tmp_path):
    (tmp_path / "4").mkdir()
    save_backbone(source, str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [".lock", "4", "5", "README.md"]
