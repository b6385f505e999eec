"""Altered and invented contents: refused with a code, or equal to what was written."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_shrink import AdapterError
from meta_shrink.adapters.reading import parse_adapter
from tests.adapters import fuzz_target

ROOT = Path(__file__).resolve().parents[2]
RUNS = 100_000


@pytest.mark.parametrize("content", fuzz_target.GOOD, ids=["f32", "int8_delta"])
def test_every_single_bit_flip_is_refused(content):
    accepted = []
    for bit in range(8 * len(content)):
        altered = bytearray(content)
        altered[bit // 8] ^= 1 << bit % 8
        try:
            parse_adapter(bytes(altered), fuzz_target.INFO, default=fuzz_target.PHI)
        except AdapterError:
            continue
        accepted.append(bit)
    assert accepted == []


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(range(len(fuzz_target.MAKERS))), st.binary(max_size=300))
def test_anything(kind, data):
    fuzz_target.check_input(bytes([kind]) + data)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
    )
)
def test_any_json(value):
    data = fuzz_target.samples.json.dumps(value).encode()
    fuzz_target.check(fuzz_target.as_header(data))
    fuzz_target.check(fuzz_target.as_manifest(data))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_exchanged_pieces(data):
    """A good file with a piece of it moved, doubled or removed."""
    content = data.draw(st.sampled_from(fuzz_target.GOOD))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), min_size=3, max_size=3)))
    first, second, third = content[: cuts[0]], content[cuts[0] : cuts[1]], content[cuts[1] :]
    pieces = data.draw(st.lists(st.sampled_from([first, second, third]), max_size=4))
    fuzz_target.check(b"".join(pieces))


def test_the_target_tells_good_from_bad():
    fuzz_target.check(fuzz_target.GOOD[0])
    assert fuzz_target.as_header(fuzz_target.HEADER) == fuzz_target.GOOD[0]
    text = fuzz_target.samples.json.loads(fuzz_target.HEADER)["__metadata__"]["meta_shrink"]
    assert fuzz_target.as_manifest(text.encode()) == fuzz_target.GOOD[0]
    assert fuzz_target.patched(b"\0") == fuzz_target.GOOD[0]


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris is not installed")
def test_atheris_finds_nothing(tmp_path):
    command = [sys.executable, "-m", "tests.adapters.fuzz_atheris", f"-runs={RUNS}", "-seed=1"]
    command.append(f"-artifact_prefix={tmp_path}/")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {RUNS} runs" in done.stderr
