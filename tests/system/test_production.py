"""From a workdir trained on real characters to served adapters, by the programs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from meta_shrink import Backbone, restore
from meta_shrink.experiments.export import heldout_tasks
from tests.system.test_programs import ROOT, run

TRAIN = {
    "device.cpu_threads": 1,
    "model.filters": 16,
    "warm_start.steps": 150,
    "warm_start.cache": "",
    "train.steps": 6,
    "train.meta_batch_size": 2,
    "train.log_every": 2,
    "eval.steps": 10,
}
COUNT = 4


def program(module: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def made(omniglot_dir, tmp_path_factory) -> Path:
    """workdir, backbone, tasks and adapters, each by its program."""
    base = tmp_path_factory.mktemp("production")
    values = TRAIN | {"task.data_dir": omniglot_dir}
    config = "--config=configs/omniglot_few_shot.py:quick_5w1s_sigma_imaml"
    flags = [f"--config.{key}={value}" for key, value in values.items()]
    run("train", config, f"--workdir={base / 'workdir'}", *flags)
    places = [f"--workdir={base / 'workdir'}", f"--out={base / 'backbone'}"]
    # After so short a training sigma^2 does not tell yet which module it is.
    out = program("export.backbone", *places, "--modules=output", "--num_tasks=5").stdout
    assert "conv_3" in out and "task-specific" in out
    program("export.tasks", f"--workdir={base / 'workdir'}", f"--out={base / 'tasks'}", "--count=4")
    adapt(base, base / "adapters")
    return base


def adapt(base: Path, out: Path, *more: str, **options) -> subprocess.CompletedProcess:
    places = [f"--backbone={base / 'backbone'}", f"--data={base / 'tasks'}", f"--out={out}"]
    return program("launch.adapt", *places, *more, **options)


def index_of(folder: Path) -> dict[str, str]:
    return json.loads((folder / "index.json").read_text())


def test_adapters_classify_new_characters(made):
    tasks = json.loads((made / "adapters" / "tasks.json").read_text())
    last = [entry["metric"]["10"] for entry in tasks.values()]
    assert len(last) == COUNT and np.mean(last) > 0.3  # Chance is 0.2.


def test_exported_is_trained(made):
    """The adapter's predictions are those of the network adapted and evaluated in memory."""
    experiment, meta, _ = restore(str(made / "workdir"), log=lambda _: None)
    backbone = Backbone.load(str(made / "backbone"))
    held_out = experiment.held_out(backbone.info.selected)
    for index, (_, heldout) in enumerate(heldout_tasks(experiment, 2)):
        _, theta = held_out.adapted(meta, index=index, steps=10)
        adapter = load(made, backbone, index)
        for path, value in zip(experiment.registry.paths, theta, strict=True):
            if path in adapter.tensors:
                np.testing.assert_allclose(adapter.tensors[path], value, atol=1e-5, err_msg=path)
        state = [
            adapter.tensors.get(v.path.removeprefix("convnet/"), v.numpy())
            for v in experiment.model.non_trainable_variables
        ]
        images = heldout.inputs["images"].astype(np.float32)
        memory = experiment.model.stateless_call(theta, state, images, training=False)[0]
        served = backbone.predict(heldout.inputs, adapter)["outputs"]
        np.testing.assert_allclose(served, memory, atol=1e-4)


def load(made: Path, backbone: Backbone, index: int):
    identity = index_of(made / "adapters")[f"task_{index:04}"]
    path = made / "adapters" / f"{identity}.safetensors"
    return backbone.load_adapter(str(path), sha256=identity)


def test_the_same_command_does_nothing_again(made, tmp_path):
    before = index_of(made / "adapters")
    times = {p: p.stat().st_mtime_ns for p in (made / "adapters").glob("*.safetensors")}
    adapt(made, made / "adapters")
    assert index_of(made / "adapters") == before
    assert times == {p: p.stat().st_mtime_ns for p in (made / "adapters").glob("*.safetensors")}
    # Elsewhere, the same bytes.
    adapt(made, tmp_path)
    assert index_of(tmp_path) == before


def test_encodings_and_their_sizes(made, tmp_path):
    sizes = {}
    for encoding in ("f32", "int8_delta"):
        adapt(made, tmp_path / encoding, f"--encoding={encoding}")
        sizes[encoding] = max(p.stat().st_size for p in (tmp_path / encoding).glob("*.safetensors"))
        files = [str(p) for p in (tmp_path / encoding).glob("*.safetensors")]
        out = program("meta_shrink", "verify", *files, "--backbone", str(made / "backbone")).stdout
        assert out.count("ok: ") == COUNT
    assert sizes["int8_delta"] < sizes["f32"]


def test_inspect_and_verify(made, tmp_path):
    file = next((made / "adapters").glob("*.safetensors"))
    shown = program(
        "meta_shrink", "inspect", str(file), "--backbone", str(made / "backbone")
    ).stdout
    assert "output" in shown and file.stem in shown
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    (tmp_path / "bad.safetensors").write_bytes(content)
    done = program("meta_shrink", "verify", str(tmp_path / "bad.safetensors"), code=4)
    assert "content" in done.stdout + done.stderr


@pytest.fixture
def server(made):
    """The address of a running server, which ends with 0."""
    command = [sys.executable, "-m", "launch.serve", "--port=0", "--name=characters"]
    places = [f"--backbone={made / 'backbone'}", f"--adapters={made / 'adapters'}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*command, *places], cwd=ROOT, **pipes)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "http://" in line, process.communicate()
    address = next(word for word in line.split() if word.startswith("http://"))
    yield address
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def post(address: str, body: object) -> dict:
    data = json.dumps(body).encode()
    for attempt in range(600):
        try:
            with urllib.request.urlopen(f"{address}:predict", data=data, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except OSError:  # Not listening yet.
            if attempt == 599:
                raise
            time.sleep(0.1)
    raise AssertionError


def test_served_over_http(made, server):
    backbone = Backbone.load(str(made / "backbone"))
    with np.load(made / "tasks" / "task_0000.npz") as file:
        images = file["heldout_images"][:3]
    rows = [{"images": image.tolist(), "adapter": "task_0000"} for image in images]
    rows += [{"images": images[0].tolist()}, {"images": images[0].tolist(), "adapter": "nobody"}]
    answer = post(server, {"instances": rows})
    expected = backbone.predict({"images": images}, load(made, backbone, 0))["outputs"]
    np.testing.assert_allclose(answer["predictions"][:3], expected, atol=1e-4)
    phi = backbone.predict({"images": images[:1]})["outputs"]
    np.testing.assert_allclose(answer["predictions"][3], phi[0], atol=1e-4)
    assert answer["predictions"][4] is None and answer["errors"][0]["row"] == 4


BAD = {
    "no backbone": (["--backbone=nowhere"], 4, "not a backbone"),
    "no data": (["--data=nowhere"], 3, "no task"),
    "unknown encoding": (["--encoding=f8"], 2, "encoding"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_flags_of_adapt(case, made, tmp_path):
    more, code, words = BAD[case]
    error = adapt(made, tmp_path / "out", *more, code=code).stderr
    assert words in error and "Traceback" not in error
    assert not list(tmp_path.glob("out/*.safetensors"))


def test_bad_flags_of_export(made, tmp_path):
    out = f"--out={tmp_path / 'b'}"
    workdir = f"--workdir={made / 'workdir'}"
    for more, code, words in (
        ([out, "--workdir=nowhere"], 2, "not a workdir"),
        ([out, workdir, "--rule=threshold", "--value=1e9"], 2, "selects no module"),
    ):
        error = program("export.backbone", *more, code=code).stderr
        assert words in error and "Traceback" not in error
    assert not os.path.exists(tmp_path / "b")


@pytest.mark.slow
def test_a_killed_export_leaves_no_version(made, tmp_path):
    out, module = tmp_path / "backbone", "export.backbone"
    flags = [f"--workdir={made / 'workdir'}", f"--out={out}", "--num_tasks=500"]
    process = subprocess.Popen(
        [sys.executable, "-m", module, *flags], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    while "held-out tasks" not in process.stderr.readline():
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not (out / "1").exists() and (out / ".unfinished-1").exists()
    program(module, *flags[:2], "--num_tasks=0")
    assert sorted(os.listdir(out)) == ["1", "README.md"]
    shutil.rmtree(out)
