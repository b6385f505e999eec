"""The page at /, in a headless Chromium: a voice is chosen, heard and seen, in the dark too."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

import numpy as np
import pytest

from meta_shrink.serving.tokens import Tokens
from meta_shrink.speech.audio_files import pcm, wav_header
from tests.serving.chromium import Page, chromium, opened
from tests.serving.clients import get, serving
from tests.serving.fake_voices import FakeVoices
from tests.serving.fakes import put_adapter, put_index

RATE, TONE, FRAME = 16_000, 2_000, 1_600
TOKEN = "a token of this test"
# The row of the spectrogram that is brightest in its middle column.
BRIGHTEST = """(() => {
  const {width, height} = document.getElementById("spectrogram");
  const {data} = document.getElementById("spectrogram").getContext("2d")
    .getImageData(width / 2, 0, 1, height);
  const light = Array.from({length: height}, (_, y) => data[4 * y] + data[4 * y + 1]);
  return 1 - light.indexOf(Math.max(...light)) / height;
})()"""


class ATone(FakeVoices):
    """Whatever is asked for: a tone, 0.1 s a frame."""

    def header(self, num_bytes: int | None) -> bytes:
        return wav_header(RATE, num_bytes)

    def sounds(self):
        phase = 2 * np.pi * TONE / RATE
        return lambda codes: pcm(np.sin(phase * np.arange(len(codes) * FRAME)) / 2)


def test_the_page_takes_nothing_from_elsewhere(tmp_path):
    async def go():
        async with serving(tmp_path, voices=ATone()) as (client, *_), client.get("/") as answer:
            return answer.headers, await answer.text()

    headers, text = asyncio.run(go())
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Content-Type"].startswith("text/html")
    assert "http" not in text and "src=" not in text and "Voices of fake" in text


def test_a_model_without_voices_has_no_page(tmp_path):
    async def go():
        async with serving(tmp_path) as (client, _, _):
            return await get(client, "/")

    assert asyncio.run(go())[0] == 404


@pytest.mark.skipif(chromium() is None, reason="needs Chromium, which Debian has as chromium")
def test_a_voice_is_chosen_heard_and_seen(tmp_path):
    adapters, sound = tmp_path / "adapters", tmp_path / "hello.wav"
    adapters.mkdir()
    put_index(adapters, {"anna": put_adapter(adapters, 3), "ben": put_adapter(adapters, 2)})
    sound.write_bytes(bytes(range(9)))
    (tmp_path / "tokens").write_text(f"{hashlib.sha256(TOKEN.encode()).hexdigest()} of this test")

    async def go():
        tokens = Tokens(str(tmp_path / "tokens"))
        async with (
            serving(adapters, voices=ATone(), tokens=tokens) as (client, *_),
            opened(str(client.make_url("/")), str(tmp_path / "browser")) as page,
        ):
            await use(page, str(sound))
            await look(page, tmp_path)

    asyncio.run(go())


async def use(page: Page, sound: str) -> None:
    """As somebody does."""
    await page.until("document.getElementById('status').textContent.includes('Bearer')")
    await page.run("document.querySelector('details').open = true")
    await fill(page, "token", TOKEN)
    await page.until("document.getElementById('voice').options.length == 3")
    await fill(page, "voice", "anna")
    # Its one module, by the adapter of 3 instead of 1.
    await page.until("document.getElementById('modules').textContent == 'w81.002.00'")
    await fill(page, "text", "hello there")
    document = await page.call("DOM.getDocument")
    node = await page.call(
        "DOM.querySelector", nodeId=document["root"]["nodeId"], selector="#recording"
    )
    await page.call("DOM.setFileInputFiles", files=[sound], nodeId=node["nodeId"])
    await page.run("document.getElementById('speak').click()")
    await page.until("document.getElementById('status').textContent == '0.90 s of sound.'")
    assert await page.until("document.getElementById('sound').duration") == pytest.approx(0.9)
    assert await page.run(BRIGHTEST) == pytest.approx(TONE / (RATE / 2), abs=0.01)
    await fill(page, "text", " ")
    await page.run("document.getElementById('speak').click()")
    await page.until("document.getElementById('status').textContent.includes('needs \"text\"')")


async def fill(page: Page, name: str, value: str) -> None:
    field = f"document.getElementById({name!r})"
    await page.run(f"{field}.value = {value!r}; {field}.dispatchEvent(new Event('change'))")


async def look(page: Page, folder: Path) -> None:
    """Nothing is wider than a phone; in the dark the ground is dark. The pictures are kept."""
    for name, width in (("phone", 360), ("desk", 1200)):
        scheme = "dark" if name == "phone" else "light"
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        await page.call("Emulation.setEmulatedMedia", features=media)
        await page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=name == "phone",
        )
        assert await page.run("document.documentElement.scrollWidth") <= width
        ground = await page.run("getComputedStyle(document.body).backgroundColor")
        assert ground == {"dark": "rgb(20, 23, 26)", "light": "rgb(255, 255, 255)"}[scheme]
        picture = await page.call("Page.captureScreenshot", captureBeyondViewport=True)
        (folder / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))
