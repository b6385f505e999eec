"""What is frozen stays as it is, also where it is called like something that adapts."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from meta_shrink import Backbone, UsageError, negative_log_likelihood, save_backbone, squared_error
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.reading import parse_adapter
from meta_shrink.backbones.convert import merge
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.enrolment.task_files import Examples
from tests.backbones.sources import source_of
from tests.models.same_paths import FROZEN, siblings

X = np.random.default_rng(0).normal(size=[6, 3]).astype("float32")
OWN = {"dense/kernel", "dense/bias", "bn/gamma", "bn/beta"}
MOMENTS = {"bn/moving_mean", "bn/moving_variance"}


def computed(model: keras.Model, base: list[np.ndarray], adapter) -> np.ndarray:
    """The outputs by hand: the frozen base with the numbers it had, the head with the adapter's."""
    inside = model.get_layer("base")
    inside.set_weights(base)
    hidden = inside(X).numpy()
    hidden = (hidden - adapter["bn/moving_mean"]) / np.sqrt(adapter["bn/moving_variance"] + 1e-3)
    hidden = hidden * adapter["bn/gamma"] + adapter["bn/beta"]
    return hidden @ adapter["dense/kernel"] + adapter["dense/bias"]


@pytest.mark.parametrize("kind", FROZEN)
def test_frozen_layers_keep_their_numbers(kind, tmp_path):
    model = FROZEN[kind]()
    base = [weight.copy() for weight in model.get_layer("base").get_weights()]
    source = source_of(model, ["dense", "bn"], classification=False, rate=0.1)
    source = source._replace(state=[v.numpy() for v in model.non_trainable_variables])
    save_backbone(source, str(tmp_path))
    backbone = Backbone.load(str(tmp_path))
    # Nor are they in an adapter, in which they would be the same for all tasks.
    assert {spec.name for spec in backbone.info.tensors} == OWN | MOMENTS
    targets = np.ones([6, 3], "float32")
    found = TaskAdaptation(backbone)(Examples({"x": X}, targets), steps=3)
    assert np.abs(found.tensors["dense/kernel"] - model.get_layer("dense").kernel).max() > 1e-3
    expected = computed(model, base, found.tensors)
    sealed = backbone.seal(found.tensors, TaskFacts("t", examples=6, steps=3, seed=0))
    adapter = parse_adapter(sealed, backbone.info)
    outputs = backbone.predict({"x": X}, adapter)["outputs"]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    mixed = backbone.predict_mixed({"x": X}, [adapter], [0] * 6)["outputs"]
    np.testing.assert_allclose(mixed, expected, rtol=1e-4, atol=1e-5)
    merge(adapter, model)
    np.testing.assert_allclose(model(X), expected, rtol=1e-4, atol=1e-5)


def test_moments_that_share_a_path_are_refused_before_training():
    with pytest.raises(UsageError, match=r"'pair' learn or keep moments in bn/moving_mean: give"):
        negative_log_likelihood(siblings(learned=False), squared_error())
    with pytest.raises(UsageError, match="share the path bn/beta"):
        source_of(siblings(learned=True), [])


def test_an_adapter_is_not_put_into_one_of_two_layers_of_its_path(tmp_path):
    model = FROZEN["as the head"]()
    save_backbone(source_of(model, ["dense"], classification=False), str(tmp_path))
    default = Backbone.load(str(tmp_path)).default
    model.get_layer("base").trainable = True
    with pytest.raises(UsageError, match="learn or keep moments in dense/kernel"):
        merge(default, model)
