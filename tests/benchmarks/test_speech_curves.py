"""benchmarks/speech_curves.py: what adapts, and the table by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import tensorflow as tf

from benchmarks import speech_curves
from meta_shrink import MetaParams, build
from meta_shrink.experiments.build import Experiment
from tests.tiny_runs import tiny_config


def rows(name: str, speakers: dict[int, list[float]], share: float = 0.5) -> list[dict]:
    return [
        {"speaker": s, "curve": name, "share": share, "steps": [0, 10, 100], "bits": bits}
        for s, bits in speakers.items()
    ]


def test_the_table_by_hand():
    found = rows("sigma-Reptile", {0: [4.0, 3.0, 3.0], 1: [5.0, 4.0, 4.0], 7: [9.0, 9.0, 9.0]})
    found += rows("Reptile", {0: [4.0, 3.5, 3.7], 1: [5.0, 4.5, 4.9]})
    found += rows("Reptile", {0: [1.0, 1.0, 1.0]}, share=1.0)
    steps, bits = speech_curves.by_curve(found, 0.5)
    # Speaker 7 lacks a curve, and the other share is another table.
    assert steps == [0, 10, 100] and bits["Reptile"].tolist() == [[4.0, 3.5, 3.7], [5.0, 4.5, 4.9]]
    lines = speech_curves.table(steps, bits)
    assert lines[2] == (
        "| sigma-Reptile | 4.500 | 3.500 (10) | 3.500 | +0.000 ± 0.000 | +0.000 ± 0.000 |"
    )
    # Risen by 0.2 and 0.4: 0.3, and 12.706 standard errors of 0.1; above by 0.7 and 0.9.
    assert lines[3] == "| Reptile | 4.500 | 4.000 (10) | 4.300 | +0.300 ± 1.271 | +0.800 ± 1.271 |"


def test_picture_and_table_are_written(tmp_path):
    bits = {s: [4.0 - 0.1 * s, 3.0, 3.0 + s] for s in range(3)}
    found = [r for share in (0.25, 1.0) for r in rows("sigma-Reptile", bits, share)]
    speech_curves.write(found, tmp_path)
    text = (tmp_path / "curves.md").read_text()
    assert "25% of the training utterances, 3 speakers:" in text and "100% of" in text
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_what_adapts(monkeypatch):
    monkeypatch.setattr(speech_curves, "SELECTED", 1)
    experiment = build(tiny_config())
    sigma = experiment.initial._replace(log_sigma2=tf.constant([-1.0, 3.0]))
    metas: dict[str, MetaParams] = dict.fromkeys(("sigma_reptile", "reptile", "pretrained"), sigma)
    curves = speech_curves.curves_of(experiment, metas)
    adapting = {name: make(0).log_sigma2.numpy().tolist() for name, make in curves.items()}
    inf = np.inf
    assert adapting["sigma-Reptile"] == [-1, 3] and adapting["Reptile"] == [inf, inf]
    assert adapting["sigma-Reptile 1 largest"] == [-inf, 3] == adapting["last 1"]
    assert adapting["sigma-Reptile 2 largest"] == [-1, 3]
    assert adapting["first 1"] == [-1, -inf] and adapting["sigma-Reptile one variance"] == [1, 1]
    np.testing.assert_allclose(adapting["sigma-Reptile x100"], np.log(np.exp([-1, 3]) * 100), 1e-6)
    drawn = [sorted(curves["1 at random"](s).log_sigma2.numpy().tolist()) for s in range(5)]
    assert all(draw in ([-inf, 3], [-inf, -1]) for draw in drawn)


def test_sea_adapts_everything_or_the_embedding():
    config = tiny_config()
    experiment = build(config)
    names = list(experiment.registry.names)
    registry = SimpleNamespace(
        num_modules=2, position=lambda name: ["speaker", names[1]].index(name)
    )
    told = cast(Experiment, SimpleNamespace(registry=registry))
    curves = speech_curves.sea_curves(told, experiment.initial)
    assert curves["SEA-All"](0).log_sigma2.numpy().tolist() == [np.inf, np.inf]
    assert curves["SEA-Emb"](3).log_sigma2.numpy().tolist() == [np.inf, -np.inf]
