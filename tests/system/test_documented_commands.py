"""The commands of the documents, run by a shell as they stand, in a folder of their own.

A `python` before the real one on the path adds what only makes a run short (fewer steps, fewer
tasks), and goes on once a server answers. What a reader has by then is there: data, runs/omniglot.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from benchmarks.free_ports import free_ports
from tests.fake_gcs import BUCKET, fake_gcs
from tests.image_data import published
from tests.speech.exported import exported_voices
from tests.speech.samples import humming, prepared_folder
from tests.test_documents import DOCUMENTS, ROOT, blocks

SHORT = {
    "launch.train": "--config.train.steps=3 --config.train.meta_batch_size=2 --config.adapt.steps=3"
    " --config.train.checkpoint_every=3",
    "launch.evaluate": "--num_tasks=2 --horizon=1",
    "launch.sweep": "--config.search.num_trials=2 --config.search.steps=2 --config.adapt.steps=3",
    "launch.compare": "--only=^maml_seed0 --set.evaluate.num_tasks=2",
}
PYTHON = """#!/usr/bin/env bash
declare -A short=({short})
[ "$2" = launch.serve ] || exec {python} "$@" ${{short[$2]:-}}
[ ! -f server ] || stop_server
{python} "$@" > server.log 2>&1 &
echo $! > server
for _ in {{1..600}}; do
    curl --silent --fail --output /dev/null localhost:8501/readyz && exit 0
    sleep 0.1
done
cat server.log >&2
exit 1
"""
STOP_SERVER = '#!/usr/bin/env bash\nkill "$(<server)"\ntail --pid="$(<server)" -f /dev/null\n'
# Everything else that a block may start is a test's to run.
PROGRAMS = re.compile(r"(python -m \w+\.\w+|meta-shrink \w+|TOKEN=|curl )")
BY_CI = re.compile(r"(make|pip install|pre-commit|bash docs/results) ?")
# What needs a cluster: tests/programs/test_manifests.py and the tests of scaling.md below.
CLUSTER = re.compile(r"(pip wheel|docker|kubectl|launch/tpu_pod.sh|export TF_CONFIG=)")
SINE = "--config=configs/sinusoid.py:sigma_maml"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder like a checkout's, with a trained run of the name that the documents use."""
    for name in ("configs", "launch", "export", "meta_shrink"):
        (tmp_path / name).symlink_to(ROOT / name)
    short = " ".join(f'[{name}]="{flags}"' for name, flags in SHORT.items())
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "python", PYTHON.format(python=sys.executable, short=short))
    program(tmp_path / "bin" / "stop_server", STOP_SERVER)
    # Its selection names a module, as three meta-steps separate none.
    rule = "--config.eval.selection.rule=top_k --config.eval.selection.value=1"
    shell(tmp_path, f"python -m launch.train {SINE} {rule} --workdir=runs/omniglot")
    return tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def shell(place: Path, script: str) -> str:
    """What the script prints. A server that it leaves is stopped."""
    programs = f"{place / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    stop = "trap '[ ! -f server ] || stop_server' EXIT"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{stop}\n{script}"],
        cwd=place,
        env=os.environ | {"PATH": programs, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def commands(document: str, *starting: str) -> str:
    """The blocks of a document, or those of its lines that start so."""
    (path,) = (path for path in DOCUMENTS if path.name == document)
    lines = [line for block in blocks(path, language="") for line in block.splitlines()]
    assert lines
    return "\n".join(line for line in lines if line.startswith(starting or ("",)))


def test_every_line_of_every_block_is_a_command_that_some_test_runs():
    lines = "\n".join(commands(path.name) for path in DOCUMENTS if blocks(path, language=""))
    joined = lines.replace("\\\n", " ").splitlines()
    assert len(joined) > 20
    run = (PROGRAMS, BY_CI, CLUSTER)
    assert [line for line in joined if not any(kind.match(line) for kind in run)] == []


def test_readme_runs_an_experiment(place):
    training = ("launch.train", "launch.evaluate", "launch.report", "launch.sweep")
    shell(place, commands("README.md", *(f"python -m {name} " for name in training)))
    assert (place / "runs/sinusoid/report/index.html").stat().st_size > 10_000
    assert (place / "runs/sweep/trials.json").exists()


def test_readme_goes_to_production(place):
    names = ("python -m export", "python -m launch.adapt", "python -m launch.serve", "meta-shrink")
    out = shell(place, commands("README.md", *names))
    assert out.count("\nok: adapters/") == 10, out
    assert (place / "device/model.tflite").exists()


def test_readme_compares(place):
    shell(place, commands("README.md", "python -m launch.compare"))
    assert "MAML" in (place / "runs/compare_sinusoid/methods.md").read_text()


def test_readme_prepares_data(place):
    """What is downloaded elsewhere is here already."""
    pytest.importorskip("pocketsphinx")
    script = commands("README.md", "python -m launch.prepare_data")
    here = {
        "--download": f"--from={published('omniglot')}",
        "PATH": published("grocery84"),
        "RECORDINGS": published("speech") / "so762_sample_wav.tar.gz",
    }
    for word, path in here.items():
        assert script.count(word) == 1
        script = script.replace(word, str(path))
    out = shell(place, script)
    for name in ("mini_imagenet", "speech"):
        assert f"Ready: --config.task.data_dir=data/{name}" in out
    assert len(list((place / "data/speech").glob("*.npz"))) == 4


def test_production(place):
    script = commands("production.md")
    name = "sinusoid_sigma_maml"  # A colon cannot be in it.
    assert script.count("[...]") == 1 and script.count("NAME") == 1
    out = shell(place, script.replace("[...]", "[[0.5]]").replace("NAME", name))
    assert '"predictions"' in out.splitlines()[-1]


def test_voices(place, tmp_path_factory):
    """All but the training of the voices, which configs/speech.py's own test has."""
    pytest.importorskip("pocketsphinx")
    workdir, _ = exported_voices(tmp_path_factory)
    sample = published("speech") / "so762_sample_wav.tar.gz"
    prepare = commands("voices.md", "python -m launch.prepare_data")
    shell(place, prepare.replace("RECORDINGS", str(sample)))
    (prosody,) = re.findall(r".*configs/prosody.*", commands("voices.md"))
    shell(place, f"{prosody} --config.warm_start.steps=50 --config.eval.num_tasks=1")
    new = place / "new"
    with tarfile.open(sample) as archive:
        for member in archive:
            archive.extract(member, new, filter="data")
    (place / "runs/speech").symlink_to(workdir)
    lines = (new / "metadata.jsonl").read_text().splitlines()
    for line in map(json.loads, lines):
        (new / line["path"]).with_suffix(".txt").write_text(line["text"])
    sound = new / json.loads(lines[0])["path"]
    script = commands("voices.md", "python -m export", "python -m launch.enroll")
    shell(place, script.replace("NEW", str(new)))
    adapters = list((place / "adapters").glob("*.safetensors"))
    own = list((place / "adapters/prosody").glob("*.safetensors"))
    assert len(adapters) == len(own) == 4
    names = {"PROSODY_ADAPTER": str(own[0]), "ADAPTER": str(adapters[0]), "SOUND": str(sound)}
    speak = commands("voices.md", "python -m launch.synthesize")
    python = "\n".join(blocks(ROOT / "docs" / "voices.md", language="python"))
    for name, path in names.items():
        speak, python = speak.replace(name, path), python.replace(name, path)
    (place / "block.py").write_text(python)
    # Another corpus, large enough for a verifier.
    (place / "data/speech").rename(place / "data/prepared")
    (place / "data/speech").mkdir()
    prepared_folder(place / "data/speech", [humming(n) for n in range(10)])
    score = commands("voices.md", "python -m launch.score_speech")
    for name in ("RECORDINGS", "DIR"):
        score = score.replace(name, str(new))
    out = shell(place, f"{speak}\npython block.py\n{score}")
    assert "equal error rate" in out and (place / "scores/scores.md").exists()
    assert (place / "spoken.wav").stat().st_size > 10_000 and "\n(2, 3200)" in out
    assert (place / "said.wav").stat().st_size > 10_000


def test_scaling_trains_as_two_processes(place):
    """On this machine instead of two."""
    script = commands("scaling.md", "export TF_CONFIG", "meta-shrink train --strategy")
    assert script.count("/shared/run") == 1 and script.count('"index": 0') == 1
    for number, port in enumerate(free_ports(2), start=1):
        script = script.replace(f"10.0.0.{number}:2222", f"127.0.0.1:{port}")
    script = f"{script.replace('/shared/run', 'run')} {SHORT['launch.train']}"
    second = script.replace('"index": 0', '"index": 1')
    shell(place, f"({second}) & other=$!\n({script})\nwait $other")
    assert list((place / "run" / "checkpoints").glob("*3*"))


def test_scaling_works_in_a_bucket(place, monkeypatch):
    pytest.importorskip("gcsfs")
    names = (
        "meta-shrink train --config",
        "meta-shrink evaluate",
        "meta-shrink export-backbone",
    )
    train, evaluate, export = commands("scaling.md", *names).splitlines()
    # Three meta-steps separate no module.
    selection = "--config.eval.selection.rule=top_k --config.eval.selection.value=1"
    lines = (
        f"{train} {SHORT['launch.train']} {selection}",
        f"{evaluate} {SHORT['launch.evaluate']}",
        export,
    )
    with fake_gcs() as (server, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        shell(place, "\n".join(lines).replace("BUCKET", BUCKET))
        found = set(server.objects)
    assert {"runs/one/evaluation.json", "backbones/one/1/saved_model.pb"} <= found, found


def test_scaling_gives_the_commands_of_a_cloud_tpu(place):
    lines = commands("scaling.md", "launch/tpu_pod.sh").splitlines()
    assert len(lines) == 4
    for line in lines:
        assert "gcloud " in shell(place, f"bash {line.replace(' mine ', ' mine --dry_run ')}")


def test_your_own(place):
    pytest.importorskip("vega_datasets")
    python = "\n".join(blocks(ROOT / "docs" / "your_own.md", language="python"))
    (place / "block.py").write_text(python)
    shell(place, "python block.py\n" + commands("your_own.md"))
