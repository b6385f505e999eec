"""What the server logs: each failure once, and nothing of what clients sent."""

from __future__ import annotations

import asyncio
import logging

from tests.serving.clients import PREDICT, serving
from tests.serving.fakes import put_broken


def test_a_refused_adapter_is_logged_once(tmp_path, caplog):
    key = put_broken(tmp_path)

    async def run():
        async with serving(tmp_path) as (client, _, _):
            for _ in range(5):
                async with client.post(
                    PREDICT, json={"instances": [[1, 2]] * 3, "adapter": key}
                ) as response:
                    assert response.status == 503

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert sum("adapter refused" in record.getMessage() for record in caplog.records) == 1


def test_what_the_network_raises_is_logged_without_its_words(tmp_path, caplog):
    def fail(inputs, adapters, index):
        raise RuntimeError(f"got {inputs} for {adapters}, {index}")

    async def run():
        async with serving(tmp_path) as (client, backbone, _):
            backbone.predict_mixed = fail
            for _ in range(3):
                async with client.post(PREDICT, json={"instances": [[4711, 5]]}) as response:
                    assert response.status == 500

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    lines = [record.getMessage() + str(record.exc_info) for record in caplog.records]
    assert sum("RuntimeError" in line and "in fail" in line for line in lines) == 1
    assert not any("4711" in line for line in lines)
