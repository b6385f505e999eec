"""Tables adapted on the device as TensorFlow adapts them: their gradients come as rows."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from meta_shrink.backbones.litert.model import litert_model
from tests.backbones.litert.litert_sources import adapted_by_keras, by_name, run, variables_of
from tests.backbones.sources import source_of

pytest.importorskip("ai_edge_litert")
layers = keras.layers
ROWS, WIDTH = 6, 3


def of_words(shape: tuple[int, ...], *, twice: bool = False) -> keras.Model:
    """Words [N, ...] -> [N, 2]; with `twice`, the table is asked a second time."""
    keras.utils.set_random_seed(0)
    words = keras.Input(shape, dtype="int32", name="words")
    table = layers.Embedding(ROWS, WIDTH, name="table")
    found = table(words)
    if twice:
        found = layers.Concatenate()(
            [found, table(keras.ops.minimum(keras.ops.add(words, 1), ROWS - 1))]
        )
    return keras.Model(words, layers.Dense(2, name="head")(layers.Flatten()(found)))


def tied() -> keras.Model:
    """A table whose gradient is the sum of rows and of a whole one: it is also the last layer."""
    keras.utils.set_random_seed(0)
    words = keras.Input((2,), dtype="int32", name="words")
    table = layers.ReversibleEmbedding(ROWS, WIDTH, name="table")
    return keras.Model(words, table(table(words)[:, 0], reverse=True))


# As many words as the table has rows, among them: their gradients have its shape.
CASES = {
    "one word": (lambda: of_words(()), 1),
    "as many examples as rows": (lambda: of_words(()), ROWS),
    "more examples than rows": (lambda: of_words(()), 8),
    "several words": (lambda: of_words((3,)), 4),
    "as many words as rows": (lambda: of_words((3,)), 2),
    "two look-ups": (lambda: of_words((2,), twice=True), 4),
    "a tied table": (tied, 5),
}


@pytest.mark.parametrize("case", CASES)
def test_a_table_adapts_as_in_memory(case):
    make, count = CASES[case]
    model = make()
    outputs = int(model.outputs[0].shape[-1])
    source = source_of(
        model, ["table", "head"] if outputs == 2 else ["table"], classification=False, rate=0.1
    )
    rng = np.random.default_rng(1)
    words = rng.integers(0, 4, [count, *model.inputs[0].shape[1:]]).astype("int32")
    targets = rng.normal(size=[count, outputs]).astype("float32")
    content = litert_model(source, examples=count)
    start = variables_of(source, by_name(source, run(content, "default_adapter")))
    given = {"words": words, "targets": targets, "num_steps": np.int32(4), **start}
    found = by_name(source, run(content, "adapt", **given))
    expected = adapted_by_keras(source, words, targets, 4)
    assert np.abs(expected["table/embeddings"] - start["table__embeddings"]).max() > 1e-2
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
