"""A voice on a device: the codes that TensorFlow draws of the same noise, without TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from meta_shrink import UsageError
from meta_shrink.backbones.litert.model import litert_model
from meta_shrink.models import wavenet
from meta_shrink.speech.synthesis import DRAWN, Noise, silence, speak
from tests.backbones.litert.test_writing import WITHOUT_TENSORFLOW
from tests.backbones.sources import random_tensors, small_convnet, source_of

pytest.importorskip("ai_edge_litert")

FRAMES, HOP, FEATURES = 6, 80, 4
OWN = ("block_03_dilated", "output_1")
RECORDINGS = {"sample_rate": 16_000, "frames": 6, "context": 2, "features_version": 1}
# Frame by frame, the state from one to the next; half of the codes of the first frame are given.
SPEAKING = """
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from safetensors.numpy import load_file

speak = Interpreter("model.tflite").get_signature_runner("speak")
told = load_file("inputs.safetensors")
state = {name: told.pop(name) for name in ("last_code", "past")}
pieces = [told.pop(name) for name in ("features", "codes", "noise")]
spoken = []
for features, codes, noise in zip(*pieces):
    answer = speak(features=features, codes=codes, noise=noise, **told, **state)
    state = {name: answer[name] for name in state}
    spoken.append(answer["codes"])
np.save("codes.npy", np.concatenate(spoken, axis=1))
"""


@pytest.mark.parametrize("pitch_blocks", [0, 2])
def test_a_device_speaks_as_tensorflow_does(tmp_path, pitch_blocks):
    model = wavenet(
        seed=0, samples=FRAMES * HOP, frames=FRAMES, features=FEATURES, channels=3, gate=5, skip=4,
        cycles=1, pitch_blocks=pitch_blocks,
    )  # fmt: skip
    source = source_of(model, OWN, recordings=RECORDINGS)
    phi = dict(zip(source.registry.paths, source.meta.phi, strict=True))
    (tmp_path / "model.tflite").write_bytes(litert_model(source, speak=True))
    own = {name: value.numpy() for name, value in phi.items() if name.startswith(OWN)}
    own = random_tensors(own, 1, scale=0.5)
    rng = np.random.default_rng(0)
    features = rng.normal(size=[1, FRAMES, FEATURES]).astype(np.float32)
    codes = np.full([1, FRAMES * HOP], DRAWN, np.int32)
    codes[:, : HOP // 2] = rng.integers(0, 256, HOP // 2)
    noise, start = Noise(6)(FRAMES * HOP)[np.newaxis], silence(phi, 1)
    expected = tf.function(speak)(phi | own, features, codes, noise, start, 0.9).codes.numpy()
    arrays = {"temperature": np.array([0.9], np.float32)}
    arrays |= {"last_code": start.code.numpy(), "past": start.past.numpy()}
    pieces = {"features": features, "codes": codes, "noise": noise}
    arrays |= {name: np.stack(np.split(x, FRAMES, axis=1)) for name, x in pieces.items()}
    arrays |= {name.replace("/", "__"): value for name, value in own.items()}
    save_file(arrays, tmp_path / "inputs.safetensors")
    program = [sys.executable, "-I", "-c", WITHOUT_TENSORFLOW + SPEAKING]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), expected)
    assert len(np.unique(expected)) > 100


def test_a_network_that_does_not_speak_is_refused():
    with pytest.raises(UsageError, match="does not speak: leave --speak out"):
        litert_model(source_of(small_convnet(), ["output"]), speak=True)
