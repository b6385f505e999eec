"""Adapters that are fine: every encoding, what it costs, equal bytes, plausibility."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from meta_shrink import Adapter, AdapterError, UsageError, load_adapter
from meta_shrink.adapters.canonical_json import sha256
from meta_shrink.adapters.checks import check_probe, implausible, prior_distance
from meta_shrink.adapters.describe import _module_of, describe
from meta_shrink.adapters.manifest import ENCODINGS, TaskFacts
from meta_shrink.adapters.reading import (
    load_again,
    load_default,
    max_bytes,
    parse_adapter,
    parse_stored,
)
from meta_shrink.adapters.writing import encode_adapter, quantised, write_adapter
from tests.adapters import samples

INFO = samples.backbone()
PHI = samples.phi(INFO)
THETA = samples.theta(INFO)


def round_trip(encoding: str, tensors=THETA, info=INFO) -> Adapter:
    content = encode_adapter(
        tensors, info, encoding=encoding, task=samples.TASK, probe=samples.PROBE, default=PHI
    )
    return parse_adapter(content, info, default=PHI)


def bound(name: str, encoding: str) -> np.ndarray | float:
    """The largest error that rounding to nearest can make."""
    theta, delta = np.abs(THETA[name]), np.abs(THETA[name] - PHI[name])
    if "moving" in name or encoding == "f32":
        return 0.0
    if encoding == "int8_delta":
        axes = (0, 1) if delta.ndim > 1 else None
        return delta.max(axis=axes) / 127 / 2 * 1.001
    return theta * 2.0 ** {"f16": -11, "bf16": -8}[encoding] + 2.0**-25


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_encoding_keeps_what_it_promises(encoding):
    adapter = round_trip(encoding)
    assert list(adapter.tensors) == [spec.name for spec in INFO.tensors]
    for name, value in adapter.tensors.items():
        assert value.dtype == np.float32
        assert value.shape == THETA[name].shape
        assert np.all(np.abs(value - THETA[name]) <= bound(name, encoding)), name


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_quantised_is_what_a_loader_gets(encoding):
    expected = quantised(THETA, INFO, encoding=encoding, default=PHI)
    found = round_trip(encoding).tensors
    assert {name: value.tobytes() for name, value in found.items()} == {
        name: value.tobytes() for name, value in expected.items()
    }


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_decoded_adapter_encodes_to_itself(encoding):
    once = quantised(THETA, INFO, encoding=encoding, default=PHI)
    twice = quantised(once, INFO, encoding=encoding, default=PHI)
    for name, value in once.items():
        np.testing.assert_allclose(twice[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("info", [INFO, samples.large_backbone()], ids=["small", "large"])
def test_one_that_is_loaded_again_is_the_same_to_the_bit(info, encoding, tmp_path):
    phi = samples.phi(info)
    theta, told = samples.theta(info), {"task": samples.TASK, "probe": samples.PROBE}
    content = encode_adapter(theta, info, encoding=encoding, default=phi, **told)
    path = write_adapter(content, str(tmp_path))
    once = load_adapter(path, info, default=phi)
    again = load_again(path, info, once.manifest, default=phi, sha256=once.id)
    assert list(again.tensors) == list(once.tensors)
    for name, value in again.tensors.items():
        assert value.tobytes() == once.tensors[name].tobytes(), name
        assert (value.dtype, value.shape) == (np.float32, once.tensors[name].shape)
        assert not value.flags.writeable
    assert (again.id, again.num_bytes, again.manifest) == (once.id, len(content), once.manifest)


def test_other_bytes_are_not_loaded_again(tmp_path):
    path = write_adapter(samples.encoded(INFO), str(tmp_path))
    once = load_adapter(path, INFO, default=PHI)
    with open(path, "r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    with pytest.raises(AdapterError, match="fetch the adapter again") as caught:
        load_again(path, INFO, once.manifest, default=PHI, sha256=once.id)
    assert caught.value.code == "pin"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_phi_itself_is_exact_as_a_difference(encoding):
    adapter = round_trip(encoding, tensors=PHI)
    if encoding in ("f32", "int8_delta"):
        assert all(np.array_equal(adapter.tensors[name], PHI[name]) for name in PHI)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bytes_are_reproducible_and_those_of_safetensors(encoding):
    content = samples.encoded(INFO, encoding)
    assert content == samples.encoded(INFO, encoding)
    assert samples.forged(content) == content
    if encoding != "bf16":  # safetensors.numpy cannot read it back.
        stored = safetensors.numpy.load(content)
        metadata = {"meta_shrink": metadata_of(content)}
        assert safetensors.numpy.save(stored, metadata) == content


def metadata_of(content: bytes) -> str:
    header, _ = samples.split(content)
    return samples.json.loads(header)["__metadata__"]["meta_shrink"]


def test_order_and_memory_layout_of_the_tensors_do_not_matter():
    reordered = {name: np.array(THETA[name], order="F") for name in reversed(list(THETA))}
    found = encode_adapter(reordered, INFO, task=samples.TASK, probe=samples.PROBE)
    assert found == samples.encoded(INFO)


@pytest.mark.parametrize(
    ("encoding", "share"), [("f16", 0.51), ("bf16", 0.51), ("int8_delta", 0.28)]
)
def test_smaller_encodings_are_smaller(encoding, share):
    info = samples.large_backbone()
    full = len(samples.encoded(info))
    assert len(samples.encoded(info, encoding)) < share * full
    assert full <= max_bytes(info)


def test_what_is_loaded_can_not_be_changed():
    adapter = round_trip("f16")
    with pytest.raises(ValueError, match="read-only"):
        adapter.tensors["conv/bias"][0] = 1.0
    with pytest.raises(TypeError):
        adapter.tensors["conv/bias"] = PHI["conv/bias"]  # pyright: ignore[reportIndexIssue]


def test_a_file_is_named_by_its_content(tmp_path):
    content = samples.encoded(INFO, consent="given in writing", licence="CC-BY-4.0")
    path = write_adapter(content, str(tmp_path / "adapters"))
    adapter = load_adapter(path, INFO, sha256=sha256(content))
    assert path == str(tmp_path / "adapters" / f"{sha256(content)}.safetensors")
    assert (adapter.id, adapter.num_bytes) == (sha256(content), len(content))
    assert adapter.manifest.task == samples.TASK
    assert adapter.manifest.probe == samples.PROBE
    assert adapter.manifest.consent == "given in writing"
    assert [module["name"] for module in adapter.manifest.modules] == ["conv", "gain"]


def test_the_default_adapter_is_pinned_by_the_backbone(tmp_path):
    info = samples.write_backbone(tmp_path)
    assert np.array_equal(load_default(str(tmp_path), info).tensors["gain"], PHI["gain"])
    with pytest.raises(AdapterError) as caught:
        load_default(str(tmp_path), samples.backbone(default_sha256="0" * 64))
    assert caught.value.code == "pin"


def test_denormal_numbers_are_kept():
    tiny = {**THETA, "conv/bias": np.full(4, 1e-40, np.float32)}
    assert np.array_equal(round_trip("f32", tiny).tensors["conv/bias"], tiny["conv/bias"])


def test_the_probe_has_a_tolerance():
    adapter = round_trip("f32")
    check_probe(adapter, INFO, [value + 0.9e-4 for value in samples.PROBE])
    for outputs in ([0.25, -1.5, 3.001], [0.25, -1.5], [0.25, -1.5, float("nan")]):
        with pytest.raises(AdapterError) as caught:
            check_probe(adapter, INFO, outputs)
        assert caught.value.code == "probe"


def test_distance_is_in_units_of_the_prior():
    adapter = round_trip("f32")
    delta = [THETA[name] - PHI[name] for name in ("conv/kernel", "conv/bias")]
    expected = sum(float(np.sum(part.astype(float) ** 2)) for part in delta) / (28 * 0.5)
    assert prior_distance(adapter, INFO, PHI) == {"conv": pytest.approx(expected)}


def test_a_swapped_adapter_is_implausible():
    assert implausible(round_trip("f32"), INFO, PHI) == []
    far = {name: value + np.float32(10) for name, value in THETA.items()}
    assert implausible(round_trip("f32", far), INFO, PHI) == ["conv"]
    assert implausible(round_trip("f32", PHI), INFO, PHI) == ["conv"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"conv/bias": np.full(4, np.nan)}, "value"),
        ({"conv/bias": np.full(4, 1e31)}, "value"),
        ({"conv/bias": np.full(4, 1e6)}, "value"),
        ({"conv/bias": np.zeros(5)}, "shape"),
        ({"other": np.zeros(5)}, "extra"),
    ],
)
def test_what_can_not_be_encoded(change, code):
    with pytest.raises(AdapterError) as caught:
        quantised({**THETA, **change}, INFO, encoding="f16")
    assert caught.value.code == code


def test_encoding_refuses_a_missing_tensor_phi_probe_or_encoding():
    def encode(tensors, probe, encoding="f32"):
        encode_adapter(tensors, INFO, task=TaskFacts("", 0, 0, 0), probe=probe, encoding=encoding)

    with pytest.raises(AdapterError, match="1 tensors are missing, 'gain'"):
        encode({name: THETA[name] for name in THETA if name != "gain"}, ())
    with pytest.raises(AdapterError, match="NaN"):
        encode(THETA, [float("nan")])
    with pytest.raises(AdapterError, match="difference"):
        encode(THETA, (), "int8_delta")
    with pytest.raises(UsageError, match="f32, f16, bf16, int8_delta"):
        encode(THETA, (), "f8")


def test_a_tensor_belongs_to_the_innermost_module():
    modules = {"block": 1.0, "block/conv": 2.0}
    names = ("block/conv/kernel", "block/bias", "block/conv2/kernel", "blocks/kernel", "block/conv")
    owners = ["block/conv", "block", "block", "moments", "block/conv"]
    assert [_module_of(name, modules) for name in names] == owners


def test_inspect_counts_the_scales_of_a_module_with_its_tensors():
    """conv: 24 + 4 bytes and 4 + 1 float32 scales; gain: a byte and a scale; 2 x 4 moments."""
    stored = parse_stored(samples.encoded(INFO, "int8_delta"))
    rows = {row["name"]: (row["tensors"], row["bytes"]) for row in describe(stored)["modules"]}
    assert rows == {"conv": (4, 28 + 20), "gain": (2, 1 + 4), "moments": (2, 32)}


def test_what_all_adapters_share_is_in_memory_once():
    one, other = (round_trip("f32", samples.theta(INFO, seed=seed)) for seed in (1, 2))
    assert one.manifest.modules is other.manifest.modules
    assert one.manifest.backbone is other.manifest.backbone
    bases: list[Any] = [value.base for value in one.tensors.values()]
    payload = {id(base): len(base) for base in bases}
    assert list(payload.values()) == [sum(value.nbytes for value in one.tensors.values())]
