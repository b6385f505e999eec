"""benchmarks/voice_quality.py on a tiny network, heard by ears that are not there; its tables."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from benchmarks import voice_quality, voice_quality_measure
from benchmarks.voice_quality_output import (
    ANOTHER,
    BITS,
    REAL,
    speakers_table,
    table,
    whole,
)
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.speech.scores.score import Listeners
from tests.speech.exported import exported_voices


def heard(samples: np.ndarray) -> np.ndarray:
    """An embedding: how loud, how rough, and something that all have."""
    return np.array([np.abs(samples).mean(), np.abs(np.diff(samples)).mean(), 1.0])


def ears(*_):
    return Listeners(lambda sounds: [heard(x) for x in sounds], lambda x: float(x.std()), {}), {}


@pytest.fixture
def command(tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(voice_quality_measure, "listeners", ears)
    monkeypatch.setattr(voice_quality, "set_cpu_threads", lambda **_: None)  # It runs already.
    workdir, _ = exported_voices(tmp_path_factory)
    out = tmp_path / "out"
    arguments = ["voice_quality", f"--workdir={workdir}", f"--work={tmp_path}", "--speakers=0"]
    arguments += ["--ks=1", "--encodings=f32,int8_delta", "--steps=2", f"--out={out}"]
    monkeypatch.setattr(sys, "argv", arguments)
    return tmp_path


@pytest.mark.slow
def test_a_run_is_measured_once(command, monkeypatch):
    voice_quality.main()
    state = command / "state.jsonl"
    rows = [json.loads(line) for line in state.read_text().splitlines()]
    keys = [(row["modules"], row["encoding"]) for row in rows]
    sizes = [(k, e) for k in (1, 43) for e in ("f32", "int8_delta")]
    assert keys == [(REAL, ""), (0, ""), *sizes]  # One speaker has no others.
    by_key = dict(zip(keys, rows, strict=True))
    assert by_key[1, "int8_delta"]["bytes"] < by_key[1, "f32"]["bytes"] < by_key[43, "f32"]["bytes"]
    # Adapting moved the voice, and a sentence by phi is another sound.
    assert by_key[43, "f32"]["bits"] != by_key[0, ""]["bits"]
    (name,) = by_key[0, ""]["scores"]  # One of three utterances is for validation.
    assert by_key[0, ""]["scores"][name].keys() == {"similarity", "naturalness"}
    assert (command / "sound" / "s2" / "43f32" / f"{name}.wav").exists()
    text = (command / "out" / "voices.md").read_text()
    assert "| 43 | f32 |" in text and (command / "out" / "voices.png").stat().st_size > 5000

    def never(*_, **__):
        raise AssertionError("It was adapted before.")

    monkeypatch.setattr(TaskAdaptation, "__call__", never)
    voice_quality.main()
    assert len(state.read_text().splitlines()) == len(rows)


def row(speaker: str, modules, encoding: str, bits: float | None, similar: list[float], size=100):
    found = {"speaker": speaker, "modules": modules, "encoding": encoding, "step_seconds": 0.5}
    scores = {f"u{n}": {"similarity": value} for n, value in enumerate(similar)}
    more = {} if bits is None else {"bits": bits, "bytes": size}
    return {**found, **more, "scores": scores}


def test_tables_by_hand():
    rows = []
    for speaker, less in (("a", 0.0), ("b", 0.2), ("lacks a size", 9.0)):
        rows += [
            row(speaker, 0, "", 4.5 - less, [0.1, 0.2], 0),
            row(speaker, 1, "f32", 4.104 - less, [0.3, 0.4], 1000),
            row(speaker, 1, "int8_delta", 4.2 - less, [0.3, 0.3], 300),
            row(speaker, REAL, "", None, [0.8, 0.8]),
            row(speaker, ANOTHER, "", None, [0.1, 0.1]),
        ]
    rows += [row("a", 12, "f32", 4.1, [0.5, 0.5], 9000), row("b", 12, "f32", 3.7, [0.5, 0.7], 9000)]
    found = whole(rows)
    lines = table(found)
    assert lines[0].startswith("2 held-out speakers")
    assert [line.split(" | ")[0] for line in lines[4:]] == [
        "| 0", "| 1", "| 1", "| 12", f"| {ANOTHER}", f"| {REAL}"
    ]  # fmt: skip
    # 4.5 and 4.3; less all 0.4 and 0.6, and -0.35 and -0.45: 6.35 (Student's t, 12.7) differences.
    assert lines[4] == ("| 0 |  | 0 | 0.500 | 4.4 ± 1.3 | 0.5 ± 1.3 | 0.15 | -0.40 ± 0.64 |")
    assert lines[7].startswith("| 12 | f32 | 9,000 | 0.500 | 3.9 ± 2.5 |  | 0.55 ± 0.64 |  |")
    # One module is 0.004 above all of them for a, and 0.204 for b.
    assert speakers_table(found)[4:] == [
        "| a | 4.500 | 4.104 | 4.100 | 1 (1,000) |",
        "| b | 4.300 | 3.904 | 3.700 | 12 (9,000) |",
    ]
    assert BITS in lines[2] and "naturalness" not in lines[2]


def test_voices_are_said_by_the_adapter_of_the_next(tmp_path):
    given = Namespace(work=str(tmp_path), share=1.0, steps=2, encodings=["f32"])
    voices = [voice_quality_measure.Voice(name, n, {}, {}) for n, name in enumerate("abc")]
    for voice in voices[:2]:
        folder = Path(voice_quality.adapter_folder(given, 12, "f32", voice))
        folder.mkdir(parents=True)
        (folder / "x.safetensors").touch()
    backbone = SimpleNamespace(load_adapter=lambda path: Path(path).parent.name)
    size = cast(Any, SimpleNamespace(count=12, backbone=backbone))
    found = [
        (voice.name, adapter) for voice, adapter in voice_quality.followers(size, voices, given)
    ]
    assert found == [("a", "b"), ("c", "a")]  # b's would be that of c, who was not adapted.
