"""An exported backbone answers as the network in memory, whoever's adapter each row has."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import AdapterError, ArtefactError, Backbone, UsageError, save_backbone
from meta_shrink.adapters.backbone_info import argument_name, read_backbone_info
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.reading import parse_adapter
from meta_shrink.adapters.writing import write_adapter
from meta_shrink.backbones.convert import from_checkpoint, merge, to_checkpoint
from meta_shrink.backbones.source import call_model, split_adapter
from tests.backbones.sources import random_tensors, small_convnet, source_of

FACTS = TaskFacts(id="", examples=3, steps=5, seed=0)
IMAGES = np.random.default_rng(0).uniform(0, 255, [6, 8, 8, 1]).astype(np.float32)


def adapter_of(backbone: Backbone, seed: int, encoding: str = "f32"):
    tensors = random_tensors(backbone.default.tensors, seed)
    content = backbone.seal(tensors, FACTS, encoding=encoding)
    return parse_adapter(content, backbone.info, default=backbone.default.tensors)


def in_memory(source, adapter, images) -> np.ndarray:
    theta, state = split_adapter(source, {k: tf.constant(v) for k, v in adapter.tensors.items()})
    call = tf.function(lambda x: call_model(source.model, theta, state, x, training=False))
    return call({"images": tf.constant(images)})["outputs"].numpy()


def test_served_is_the_network_in_memory(source, backbone):
    for seed in range(3):
        adapter = adapter_of(backbone, seed)
        expected = in_memory(source, adapter, IMAGES)
        served = backbone.predict({"images": IMAGES}, adapter)["outputs"]
        # The SavedModel pools by TensorFlow's kernel, the network above by plain maths.
        np.testing.assert_array_equal(served, expected)


def test_mixed_rows_are_rows_one_by_one(backbone):
    adapters = [backbone.default, *(adapter_of(backbone, seed) for seed in range(3))]
    index = np.array([1, 0, 3, 1, 2, 0])
    mixed = backbone.predict_mixed({"images": IMAGES}, adapters, index)["outputs"]
    alone = [
        backbone.predict({"images": IMAGES[r : r + 1]}, adapters[a])["outputs"]
        for r, a in enumerate(index)
    ]
    np.testing.assert_allclose(mixed, np.concatenate(alone), atol=1e-6)


def test_without_an_adapter_it_is_phi(source, backbone):
    phi = backbone.predict({"images": IMAGES})["outputs"]
    np.testing.assert_array_equal(phi, in_memory(source, backbone.default, IMAGES))
    served = backbone.signatures["serving_default"](images=tf.constant(IMAGES))["outputs"]
    np.testing.assert_array_equal(phi, served.numpy())


def test_an_index_out_of_range_is_refused(backbone):
    for index in ([0, 1], [-1, 0]):
        with pytest.raises(UsageError, match="adapter_index"):
            backbone.predict_mixed({"images": IMAGES[:2]}, [backbone.default], np.array(index))


def test_nothing_is_traced_again(backbone):
    names = ("serve", "serve_mixed")
    before = {name: backbone.signatures[name].graph for name in names}
    for count in (1, 2, 5):
        adapters = [adapter_of(backbone, seed) for seed in range(count)]
        backbone.predict_mixed({"images": IMAGES[:count]}, adapters, np.arange(count))
    assert all(backbone.signatures[name].graph is graph for name, graph in before.items())


@pytest.mark.parametrize("encoding", ["f32", "f16", "bf16", "int8_delta"])
def test_every_encoding_loads_with_its_probe(backbone, encoding, tmp_path):
    content = backbone.seal(random_tensors(backbone.default.tensors, 0), FACTS, encoding=encoding)
    adapter = backbone.load_adapter(write_adapter(content, str(tmp_path)))
    exact = backbone.predict({"images": IMAGES}, adapter_of(backbone, 0))["outputs"]
    coarse = backbone.predict({"images": IMAGES}, adapter)["outputs"]
    bound = {"f32": 0.0, "f16": 2e-3, "bf16": 2e-2, "int8_delta": 2e-2}[encoding]
    assert np.abs(exact - coarse).max() <= bound * np.abs(exact).max()


def test_a_backbone_that_differs_in_one_weight_refuses_the_adapter(source, backbone, tmp_path):
    content = backbone.seal(random_tensors(backbone.default.tensors, 0), FACTS)
    path = write_adapter(content, str(tmp_path / "adapters"))
    for number in (0, len(source.meta.phi) - 1):
        phi = list(source.meta.phi)
        phi[number] = phi[number] + tf.reshape(
            tf.one_hot(0, tf.size(phi[number])), phi[number].shape
        )
        other = source._replace(meta=source.meta._replace(phi=phi))
        save_backbone(other, str(tmp_path / f"other_{number}"))
        with pytest.raises(AdapterError) as caught:
            Backbone.load(str(tmp_path / f"other_{number}")).load_adapter(path)
        assert caught.value.code == "backbone"


def test_another_answer_to_the_probe_is_refused(backbone, tmp_path):
    adapter = adapter_of(backbone, 0)
    manifest = replace(adapter.manifest, probe=(9.0, *adapter.manifest.probe[1:]))
    with pytest.raises(AdapterError) as caught:
        backbone.check(replace(adapter, manifest=manifest))
    assert caught.value.code == "probe"


def test_changed_weights_are_refused(source, tmp_path):
    save_backbone(source, str(tmp_path))
    data = next((tmp_path / "1" / "variables").glob("*.data*"))
    content = bytearray(data.read_bytes())
    # The checksum of TensorFlow's own format sees it first; either way one sentence.
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(ArtefactError):
        Backbone.load(str(tmp_path))


def test_an_operation_that_reads_files_is_refused(source, tmp_path):
    save_backbone(source, str(tmp_path))
    module = tf.Module()
    read = tf.function(lambda: {"content": tf.io.read_file("other_file")})
    tf.saved_model.save(
        module, str(tmp_path / "bad"), signatures={"serve": read.get_concrete_function()}
    )
    os.replace(tmp_path / "bad" / "saved_model.pb", tmp_path / "1" / "saved_model.pb")
    with pytest.raises(ArtefactError, match="ReadFile"):
        Backbone.load(str(tmp_path))


def test_versions_count_up_and_the_newest_is_served(source, tmp_path):
    save_backbone(source, str(tmp_path))
    (tmp_path / ".unfinished-2").mkdir()
    save_backbone(source._replace(name="second"), str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [".lock", "1", "2", "README.md"]
    assert Backbone.load(str(tmp_path)).info.name == "second"
    assert 'tf.saved_model.load("2")' in (tmp_path / "README.md").read_text()
    assert read_backbone_info(str(tmp_path / "1")).name == "small"
    with pytest.raises(ArtefactError, match="not a backbone"):
        Backbone.load(str(tmp_path / "3"))


def test_frozen_modules_cost_no_gradient(tmp_path):
    save_backbone(source_of(small_convnet(), ["output"]), str(tmp_path))
    gradient = Backbone.load(str(tmp_path)).signatures["gradient"]
    operations = {
        node.op
        for function in gradient.graph.as_graph_def().library.function
        for node in function.node_def
    }
    assert "Conv2D" in operations
    assert not {o for o in operations if "Backprop" in o or o in ("MaxPoolGrad", "ReluGrad")}


def test_tensorflow_alone_serves_it(backbone, folder, tmp_path):
    """The example of the backbone's README, where neither meta_shrink nor keras can be imported."""
    readme = (Path(folder) / "README.md").read_text()
    example = readme.split("```python\n")[1].split("```")[0]
    content = backbone.seal(random_tensors(backbone.default.tensors, 0), FACTS)
    path = write_adapter(content, str(tmp_path))
    example = example.replace("ID.safetensors", path)
    program = (
        f"import sys\nsys.modules['meta_shrink'] = None\n{example}\nprint(outputs['outputs'].shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "(1, 3)" in done.stdout, done.stderr


def test_merged_into_the_keras_model(source, backbone):
    adapter = adapter_of(backbone, 4)
    model = small_convnet()
    for variable, value in zip(model.trainable_variables, source.meta.phi, strict=True):
        variable.assign(value)
    merge(adapter, model)
    expected = backbone.predict({"images": IMAGES}, adapter)["outputs"]
    np.testing.assert_allclose(model(IMAGES, training=False).numpy(), expected, atol=1e-5)
    with pytest.raises(UsageError, match="no variable"):
        merge(adapter, small_convnet(filters=5))


def test_as_a_checkpoint_and_back(backbone, tmp_path):
    adapter = adapter_of(backbone, 5)
    prefix = to_checkpoint(adapter, str(tmp_path / "task"))
    tensors = from_checkpoint(prefix, backbone.info)
    again = parse_adapter(backbone.seal(tensors, FACTS), backbone.info)
    assert again.id == adapter.id
    with pytest.raises(ArtefactError):
        from_checkpoint(str(tmp_path / "none"), backbone.info)


def test_signatures_are_named_as_the_adapter(backbone):
    inputs = backbone.signatures["serve"].structured_input_signature[1]
    names = {argument_name(spec.name) for spec in backbone.info.tensors}
    assert set(inputs) == names | {"images"}
