"""The HTTP server beyond the predict API: limits, health, metrics, reload, stop."""

from __future__ import annotations

import asyncio
import json

import pytest

from meta_shrink import AdapterBank, UsageError
from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.serving.server import Server
from tests.serving.clients import PREDICT, ask, get, post, serving
from tests.serving.fakes import FakeBackbone, put_adapter, put_index


def test_other_paths_methods_and_sizes(tmp_path):
    async def run():
        async with serving(tmp_path, max_body_bytes=1000) as (client, _, _):
            results = [await post(client, b"x" * 5000), await post(client, {}, "/v1/models/other")]
            results.append(await post(client, {}, "/v1/models/other:predict"))
            results.append(await post(client, {}, "/v1/models/fake"))
            served = "The model that is served is 'fake': /v1/models/fake."
            assert [served in answer["error"] for _, answer in results] == [
                False,
                True,
                True,
                False,
            ]
            return [(status, answer["code"], "error" in answer) for status, answer in results]

    assert asyncio.run(run()) == [
        (413, "too_large", True),
        (404, "path", True),
        (404, "path", True),
        (405, "method", True),
    ]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/models/fake", {"GET", "HEAD"}),
        ("PUT", "/v1/models/fake/metadata", {"GET", "HEAD"}),
        ("DELETE", "/healthz", {"GET", "HEAD"}),
        ("PATCH", "/metrics", {"GET", "HEAD"}),
        ("OPTIONS", "/readyz", {"GET", "HEAD"}),
        ("GET", PREDICT, {"POST"}),
        ("HEAD", PREDICT, {"POST"}),
        ("GET", "/v1/models/fake/voices:synthesize", {"POST"}),
    ],
)
def test_a_method_that_is_not_allowed_is_told_which_are(tmp_path, method, path, allowed):
    async def run():
        async with (
            serving(tmp_path) as (client, _, _),
            client.request(method, path) as response,
        ):
            return response.status, response.headers["Allow"]

    status, told = asyncio.run(run())
    assert (status, set(told.replace(" ", "").split(","))) == (405, allowed)


def test_overload_is_429_per_row_and_as_a_whole(tmp_path):
    async def run():
        async with serving(tmp_path, max_queue=2, max_batch=1) as (client, backbone, server):
            backbone.gate.clear()
            first = asyncio.ensure_future(post(client, {"instances": [[1, 2], [3, 4]]}))
            while b"meta_shrink_waiting_rows 2.0" not in server.metrics.text():
                await asyncio.sleep(0.01)
            async with client.post(PREDICT, json={"instances": [[1, 2]]}) as response:
                refused = response.status, response.headers["Retry-After"], await response.json()
            backbone.gate.set()
            return await first, refused

    (status, answer), refused = asyncio.run(run())
    assert (status, len(answer["predictions"])) == (200, 2)
    assert refused[:2] == (429, "1")
    assert refused[2]["code"] == "overloaded"


def test_what_the_network_raises_stays_in_the_log(tmp_path):
    async def run():
        async with serving(tmp_path) as (client, backbone, _):
            backbone.refused_input = 5.0
            return await post(client, {"instances": [[5, 5], [1, 2]]})

    status, answer = asyncio.run(run())
    assert (status, answer["predictions"]) == (200, [None, [3.0] * 4])
    assert answer["errors"][0]["code"] == "internal"
    assert "/etc" not in json.dumps(answer)


def test_an_answer_that_is_not_finite_is_an_error(tmp_path):
    key = put_adapter(tmp_path, 1e30)
    status, answer = ask(tmp_path, {"instances": [{"x": [1e30, 0], "adapter": key}]})
    assert (status, answer["code"]) == (500, "not_finite")


def test_status_metadata_health_and_metrics(tmp_path):
    key = put_adapter(tmp_path, 2)
    put_index(tmp_path, {"secret-task": key})

    async def run():
        async with serving(tmp_path) as (client, backbone, _):
            warm = list(backbone.batches)
            await post(client, {"instances": [[1, 2]] * 3, "adapter": "secret-task"})
            await post(client, {"instances": [[1, 2]], "adapter": "nobody"})
            paths = ("/healthz", "/readyz", "/v1/models/fake", "/v1/models/fake/metadata")
            return warm, [await get(client, path) for path in paths], await get(client, "/metrics")

    warm, answers, (_, metrics) = asyncio.run(run())
    assert sorted(warm) == [1, 2, 32]
    assert [status for status, _ in answers] == [200] * 4
    state = json.loads(answers[2][1])["model_version_status"][0]
    assert (state["version"], state["state"]) == ("3", "AVAILABLE")
    described = json.loads(answers[3][1])["metadata"]
    x = described["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]
    assert (x["dtype"], [dim["size"] for dim in x["tensor_shape"]["dim"]]) == (
        "DT_FLOAT",
        ["-1", "2"],
    )
    for line in (
        'meta_shrink_rows_total{outcome="ok"} 3.0',
        'meta_shrink_rows_total{outcome="not_found"} 1.0',
        "meta_shrink_adapters_resident 1.0",
        "meta_shrink_adapter_loads_total 1.0",
        "meta_shrink_ready 1.0",
        'meta_shrink_requests_total{route="/v1/models/fake:predict",status="200"} 1.0',
    ):
        assert line in metrics
    for private in (key, "secret-task", "nobody", str(tmp_path)):
        assert private not in metrics + "".join(text for _, text in answers)


def test_reload_swaps_an_alias_and_survives_a_damaged_index(tmp_path):
    a, b = put_adapter(tmp_path, 2), put_adapter(tmp_path, 3)
    put_index(tmp_path, {"task": a})

    async def run():
        values = []
        async with serving(tmp_path) as (client, _, server):
            for index in ({"task": a}, {"task": b}, "damaged"):
                put_index(tmp_path, index)
                server.reload()
                _, answer = await post(client, {"instances": [[1, 0]], "adapter": "task"})
                values.append(answer["predictions"][0][0])
        return values

    assert asyncio.run(run()) == [2.0, 3.0, 3.0]


def test_stopping_answers_requests_in_flight(tmp_path):
    async def run():
        async with serving(tmp_path) as (client, backbone, server):
            backbone.gate.clear()
            request = asyncio.ensure_future(post(client, {"instances": [[1, 2]]}))
            while b"meta_shrink_waiting_rows 1.0" not in server.metrics.text():
                await asyncio.sleep(0.01)
            closing = asyncio.ensure_future(client.server.close())
            await asyncio.sleep(0.05)
            assert b"meta_shrink_ready 0.0" in server.metrics.text()
            backbone.gate.set()
            answered = await request
            await closing
            return answered

    assert asyncio.run(run()) == (200, {"predictions": [[3.0] * 4]})


def test_names_are_checked(tmp_path):
    backbone = FakeBackbone()
    bank = AdapterBank(backbone, str(tmp_path))
    with pytest.raises(UsageError, match="name"):
        Server(backbone, bank, name="a/b")
    with pytest.raises(UsageError, match='"adapter"'):
        Server(FakeBackbone(inputs=(ArraySpec("adapter", (2,), "float32"),)), bank)
