"""Whole adapters with a right content hash that do not fit: facts, tensors, backbone."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from typing import Any

import pytest

from meta_shrink import AdapterError
from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.canonical_json import canonical
from meta_shrink.adapters.reading import parse_adapter
from meta_shrink.errors import ADAPTER_CODES
from tests.adapters import samples
from tests.adapters.test_bad_contents import (
    FIELDS,
    GOOD,
    INFO,
    MANIFEST,
    refused,
    with_fields,
    with_name,
)

TEXT = MANIFEST["meta_shrink"]
FACTS = json.loads(TEXT)


def with_manifest(text: str) -> bytes:
    return with_fields({**FIELDS, "__metadata__": {"meta_shrink": text}})


def without(name: str) -> str:
    return canonical({key: value for key, value in FACTS.items() if key != name}).decode()


def test_the_samples_are_right_before_they_are_changed():
    assert samples.forged(GOOD, facts=FACTS) == GOOD == with_manifest(TEXT)
    parse_adapter(GOOD, INFO)


TEXTS = {
    "empty": "",
    "no JSON": "{",
    "list": "[]",
    "[ x 30,000": "[" * 30_000,
    "blank": TEXT.replace(",", ", ", 1),
    "key twice": TEXT.replace('"format"', '"format":"x","format"', 1),
    "order": json.dumps(dict(reversed(FACTS.items())), separators=(",", ":")),
    "NaN": TEXT.replace("0.25", "NaN", 1),
    "Infinity": TEXT.replace("0.25", "Infinity", 1),
    "1e999": TEXT.replace("0.25", "1e999", 1),
    "0.250": TEXT.replace("0.25", "0.250", 1),
    "no ASCII": TEXT.replace("sigma_maml", "σ", 1),
    "no content_sha256": without("content_sha256"),
    "no task": without("task"),
    "no format": without("format"),
    "one more": canonical({**FACTS, "speaker": "A. Name"}).decode(),
}


@pytest.mark.parametrize("case", TEXTS)
def test_manifest_text(case):
    refused(with_manifest(TEXTS[case]), "manifest")


DEEP = json.loads("[" * 500 + "]" * 500)
VALUES: dict[str, tuple[Any, ...]] = {
    "format": (1, None),
    "package_version": (1, "a\nb"),
    "algorithm": (None, "\x1b[2J"),
    "encoding": ("f8", "", None, ["f32"]),
    "backbone": (None, {}, {**FACTS["backbone"], "name": "x"}),
    "modules": ({}, [1], [{"name": "conv"}], [{"name": 1, "sigma2": 0.5}]),
    "selection": (
        None,
        [],
        {"rule": []},
        {"rule": {}},
        {"rule": json.loads("[" * 500 + "]" * 500)},
    ),
    "task": (None, {}, {**FACTS["task"], "speaker": "A. Name"}),
    "probe": (None, [1], ["x"], [True], [[1.0]], [0.0] * 17),
    "consent": (None, 1, "\u202e"),
    "licence": (None, {}),
}
TASKS = {"id": ("a b", "x" * 65, 1, "é"), "examples": (-1, 1.0, True, 2**63), "seed": ("1",)}
HASHES = {"registry_sha256": ("", "F" * 64, "0" * 63, 0), "weights_sha256": (None,)}
SIGMAS = (0, 1, -1.0, 0.0, "x")
WRONG = [(name, value) for name, values in VALUES.items() for value in values]
for key, field in (("task", TASKS), ("backbone", HASHES)):
    WRONG += [(key, {**FACTS[key], n: v}) for n, values in field.items() for v in values]
WRONG += [("modules", [{"name": "conv", "sigma2": value}]) for value in SIGMAS]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_manifest_field(name, value):
    refused(samples.forged(GOOD, facts={name: value}), "manifest")


@pytest.mark.parametrize("value", [None, "", "0" * 63, "G" * 64])
def test_content_hash_that_is_no_hash(value):
    refused(with_manifest(canonical({**FACTS, "content_sha256": value}).decode()), "manifest")


@pytest.mark.parametrize("value", ["meta_shrink.adapter/2", "peft/1", "", "x" * 5000])
def test_other_format(value):
    assert "meta_shrink.adapter/1" in refused(
        samples.forged(GOOD, facts={"format": value}), "format"
    )


@pytest.mark.parametrize(
    "facts",
    [{"content_sha256": "0" * 64}, {"consent": "none"}, {"task": {**FACTS["task"], "id": "other"}}],
)
def test_altered_facts(facts):
    refused(with_manifest(canonical({**FACTS, **facts}).decode()), "content")


def test_altered_table_or_payload():
    refused(GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "content")
    names = {"norm/moving_mean": "norm/moving_mear"}
    renamed = {names.get(name, name): entry for name, entry in FIELDS.items()}
    refused(with_fields(renamed), "content")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"registry_sha256": "0" * 64}, "another backbone"),
        ({"weights_sha256": "0" * 64}, "other weights of this backbone"),
    ],
)
def test_other_backbone(changes, words):
    with pytest.raises(AdapterError, match=words) as caught:
        parse_adapter(GOOD, replace(INFO, **changes))
    assert caught.value.code == "backbone"
    found = {**INFO.fingerprint, **changes}
    refused(samples.forged(GOOD, facts={"backbone": found}), "backbone")


CONV, GAIN = FACTS["modules"]
MODULES = {
    "none": [],
    "one missing": [CONV],
    "one not selectable": [{"name": "embedding", "sigma2": 1e-5}, CONV, GAIN],
    "one unknown": [CONV, GAIN, {"name": "other", "sigma2": 1.0}],
    "other order": [GAIN, CONV],
    "twice": [CONV, GAIN, GAIN],
    "other sigma2": [{**CONV, "sigma2": 0.6}, GAIN],
    "case": [{**CONV, "name": "Conv"}, GAIN],
}


@pytest.mark.parametrize("case", MODULES)
def test_modules(case):
    refused(samples.forged(GOOD, facts={"modules": MODULES[case]}), "modules")


NAMES = ("../x", "/abs", "a\\b", "CONV/bias", "conv", "conv/bias:scale", "embedding/kernel", "__x")


@pytest.mark.parametrize("name", NAMES)
def test_one_tensor_too_many(name):
    refused(with_name(name), "extra")


NFC, NFD = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")


@pytest.mark.parametrize(("name", "twin"), [(NFC, NFD), (NFD, NFC)], ids=["NFC", "NFD"])
def test_a_name_that_only_looks_the_same(name, twin):
    def named(last: str) -> BackboneInfo:
        return replace(INFO, tensors=(*INFO.tensors[:-1], replace(INFO.tensors[-1], name=last)))

    content = samples.encoded(named(name))
    assert parse_adapter(content, named(name)).tensors[name].shape == (4,)
    with pytest.raises(AdapterError) as caught:
        parse_adapter(content, named(twin))
    assert caught.value.code == "missing"


def test_every_code_is_documented_once():
    assert len(set(ADAPTER_CODES)) == len(ADAPTER_CODES)
