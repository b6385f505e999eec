"""A server of real voices: samples of launch.synthesize, whoever speaks at the same time."""

from __future__ import annotations

import asyncio
import io
import wave
from pathlib import Path

import numpy as np
import pytest

from meta_shrink import Backbone
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.writing import write_adapter
from meta_shrink.enrolment.served_voices import BackboneVoices
from meta_shrink.enrolment.speaking import spoken, write_wav
from meta_shrink.speech.features import FEATURES
from tests.serving.clients import serving
from tests.speech.exported import HOP, exported_voices

pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Backbone:
    return Backbone.load(exported_voices(tmp_path_factory)[1])


def put_voice(backbone: Backbone, directory: Path, factor: float) -> str:
    """Write the adapter of the backbone's own voice times a factor; its path."""
    tensors = {name: factor * value for name, value in backbone.default.tensors.items()}
    content = backbone.seal(tensors, TaskFacts("", 0, 0, 0))
    return str(write_adapter(content, str(directory)))


async def heard(client, name: str, adapter: str | None, request) -> bytes:
    place = f"/v1/models/{name}/voices{'' if adapter is None else '/' + adapter}:synthesize"
    async with client.post(place, json=request) as response:
        content = await response.read()
        assert response.status == 200, content
    return content


def test_the_server_speaks_as_synthesize_does(backbone, tmp_path):
    paths = [put_voice(backbone, tmp_path, factor) for factor in (2.0, 3.0)]
    adapters = [backbone.load_adapter(path) for path in paths]
    features = np.random.default_rng(0).normal(size=[3, 60, FEATURES]).astype(np.float32)
    asked = [
        (None, {"features": features[0].tolist(), "seed": 7}),
        (Path(paths[0]).stem, {"features": features[1].tolist(), "seed": 7, "stream": True}),
        (Path(paths[1]).stem, {"features": features[2].tolist(), "temperature": 0.5}),
    ]

    async def talk():
        voices = BackboneVoices(backbone, threads=2)
        async with serving(tmp_path, backbone, voices=voices, max_batch=2) as (client, _, server):
            return await asyncio.gather(*(heard(client, server.name, *one) for one in asked))

    answers = asyncio.run(talk())
    for number, (_, request) in enumerate(asked):
        options = {name: request[name] for name in ("seed", "temperature") if name in request}
        adapter = [backbone.default, *adapters][number]
        samples, rate = spoken(backbone, adapter, features[number], **options)
        assert len(samples) == 60 * HOP and rate == 16_000
        path = tmp_path / "spoken.wav"
        write_wav(str(path), samples, rate)
        # A stream's header leaves the length open; the samples are the same.
        assert answers[number][44:] == path.read_bytes()[44:]
        with wave.open(io.BytesIO(answers[number])) as sound:
            assert (sound.getframerate(), sound.getnchannels()) == (rate, 1)
            assert sound.getnframes() == len(samples) or "stream" in request
