"""benchmarks/dilated_forms.py: its forms are one convolution, and the network's."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks import dilated_forms
from meta_shrink.models.wavenet_layers import Dilated


def test_the_forms_are_the_layer_of_the_network_with_its_derivatives(monkeypatch):
    monkeypatch.setattr(dilated_forms, "DILATIONS", (1, 2))
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=[1, 7, 3]), tf.float32)
    kernels = [tf.constant(rng.normal(size=[2, 3, 6]), tf.float32) for _ in range(2)]
    layer = Dilated(6, 2, 0)
    layer.build((1, 7, 3))
    layer.kernel.assign(kernels[0])
    for form in dilated_forms.FORMS.values():
        np.testing.assert_allclose(form(x, kernels[0], 2), layer(x), atol=1e-6)
    # By hand: one channel, past times 2 plus now times 3.
    one = tf.constant([[[1.0], [10.0], [100.0]]]), tf.constant([[[2.0]], [[3.0]]])
    for form in dilated_forms.FORMS.values():
        assert form(*one, 2).numpy().ravel().tolist() == [3, 30, 302]
    for part in (dilated_forms.gradient, dilated_forms.product):
        of = [part(form, x, kernels) for form in dilated_forms.FORMS.values()]
        for other in of[1:]:
            for found, expected in zip(other, of[0], strict=True):
                np.testing.assert_allclose(found, expected, atol=1e-5)
