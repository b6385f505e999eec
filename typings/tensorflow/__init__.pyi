# TensorFlow ships no types, and the third-party stub that pyright bundles is incomplete and partly
# wrong (no tf.random.experimental, no tf.distribute, no ~ on tensors, string options refused). This
# stub makes every tensorflow name Any: pyright then checks our own signatures and tuples, and the
# tests check TensorFlow's.
from typing import Any

def __getattr__(name: str) -> Any: ...
