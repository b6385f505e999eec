"""The wheel in an environment without a checkout: the programs, the configs, docs/your_own.md."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from meta_shrink.backbones.litert.model import QUANTISATIONS
from meta_shrink.programs.command_line import OF_ADAPTERS, PROGRAMS
from meta_shrink.training.distribution import STRATEGIES
from tests.distributions import ROOT, build, install

NAMES = [name for programs in PROGRAMS.values() for name in programs]
TINY = ["--config.train.steps=3", "--config.adapt.steps=2", "--config.train.jit=off"]
# Ends with what a program has imported when its help is there.
HELP = """
import atexit, sys
from meta_shrink.programs.command_line import main
heavy = {"tensorflow", "keras", "optuna", "aiohttp", "matplotlib", "pandas"}
atexit.register(lambda: print("imported", heavy & set(sys.modules), file=sys.stderr))
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    return build(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def programs(built, tmp_path_factory) -> Path:
    """The folder of the installed programs."""
    return install(built[0], tmp_path_factory.mktemp("installed"))


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(command: Sequence[str | Path], folder: Path, code: int = 0) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout if code == 0 else done.stderr


def test_the_environment_has_the_wheel_and_no_checkout(programs, tmp_path):
    code = "import meta_shrink, importlib.util as u; print(meta_shrink.__file__); "
    code += "print([u.find_spec(name) for name in ('launch', 'export', 'configs', 'tests')])"
    place, others = run([programs / "python", "-c", code], tmp_path).splitlines()
    assert Path(place).is_relative_to(programs.parent)
    assert others == "[None, None, None, None]"


def test_the_overview_names_every_program(programs, tmp_path):
    text = run([programs / "meta-shrink", "--help"], tmp_path)
    assert re.findall(r"^  ([\w-]+) +\S", text, re.M) == [*NAMES, *OF_ADAPTERS]
    assert run([programs / "meta-shrink"], tmp_path) == text
    assert "meta_shrink 0." in run([programs / "meta-shrink", "--version"], tmp_path)
    told = run([programs / "meta-shrink", "export_backbon"], tmp_path, code=2)
    assert told == "error: there is no program 'export_backbon'. Did you mean export-backbone?\n"


@pytest.mark.parametrize("name", NAMES)
def test_help_names_all_flags_and_imports_nothing_heavy(name, tmp_path):
    """Its own flags and those that it shares, as python -m launch.NAME takes them."""
    command = [sys.executable, "-c", HELP, name, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr in ("imported set()\n", "imported {'matplotlib'}\n")
    source = (ROOT / "meta_shrink" / "programs" / f"{name.replace('-', '_')}.py").read_text()
    for flag in re.findall(r'DEFINE_\w+\(\s*"(\w+)"', source):
        assert re.search(rf"^  --(\[no\])?{flag}: ", done.stdout, re.M), flag
    assert "--imports: " in done.stdout
    assert done.stdout.startswith((ast.get_docstring(ast.parse(source)) or "?").split("\n")[0])


def test_every_program_starts_from_a_checkout_too():
    thin = [*(ROOT / "launch").glob("[a-z]*.py"), *(ROOT / "export").glob("[a-z]*.py")]
    started = {}
    for path in thin:
        (called,) = re.findall(r'start\("([\w-]+)", "python -m ([\w.]+)"\)', path.read_text())
        assert called[1] == f"{path.parent.name}.{path.stem}"
        started[called[0]] = path
    assert sorted([*started, "configs"]) == sorted(NAMES)


def test_flags_offer_what_there_is():
    folder = ROOT / "meta_shrink" / "programs"
    for name, choices in (("strategy", STRATEGIES), ("export_litert", QUANTISATIONS)):
        offered = re.findall(r"\[((?:\"\w+\", )+\"\w+\")\]", (folder / f"{name}.py").read_text())
        assert [ast.literal_eval(f"[{text}]") for text in offered] == [list(choices)]


def test_configs_are_listed_and_copied(programs, tmp_path):
    text = run([programs / "meta-shrink", "configs"], tmp_path)
    assert re.search(r"^configs/sinusoid.py +Sinusoid regression", text, re.M)
    assert "common.py" not in text
    run([programs / "meta-shrink", "configs", "--copy=mine"], tmp_path)
    for path in (ROOT / "configs").rglob("*.py"):
        copy = tmp_path / "mine" / path.relative_to(ROOT)
        assert copy.read_bytes() == path.read_bytes()
    told = run([programs / "meta-shrink", "configs", "--copy=mine"], tmp_path, code=2)
    assert "mine/configs exists already" in told


@pytest.mark.slow
def test_from_the_demo_to_a_verified_adapter(programs, tmp_path):
    def meta_shrink(*arguments: str) -> str:
        return run([programs / "meta-shrink", *arguments], tmp_path)

    workdir, train = "--workdir=demo", ["train", "--config=configs/sinusoid.py:demo"]
    meta_shrink(*train, workdir, *TINY)
    assert "finished already" in meta_shrink(*train, workdir, *TINY)
    meta_shrink("evaluate", workdir, "--num_tasks=2", "--horizon=1")
    recorded = json.loads((tmp_path / "demo" / "evaluation.json").read_text())["environment"]
    assert recorded["command"] == "meta-shrink evaluate --workdir=demo --num_tasks=2 --horizon=1"
    meta_shrink("report", workdir)
    meta_shrink(
        "export-backbone", workdir, "--out=backbone", "--num_tasks=0", "--modules=layer_1/kernel"
    )
    meta_shrink("export-tasks", workdir, "--out=tasks", "--count=2")
    meta_shrink("adapt", "--backbone=backbone", "--data=tasks", "--out=adapters", "--steps=2")
    files = [str(path) for path in (tmp_path / "adapters").glob("*.safetensors")]
    assert len(files) == 2
    checked = meta_shrink("verify", *files, "--backbone=backbone")
    assert checked.count("ok: ") == 2


@pytest.mark.slow
def test_a_config_of_the_users_own_and_its_helper(programs, tmp_path):
    """A console script does not look for modules in the present folder, but configs import."""
    (tmp_path / "my_parts.py").write_text("STEPS = 2\n")
    (tmp_path / "mine.py").write_text(
        "import my_parts\nfrom meta_shrink import default_config\n"
        "from meta_shrink.experiments.defaults import adam\n\n"
        "def get_config():\n    config = default_config('mine')\n"
        "    config.task = {'name': 'sinusoid'}\n"
        "    config.model = {'name': 'mlp', 'hidden': [4]}\n"
        "    config.loss.name = 'squared_error'\n    config.algorithm = {'name': 'reptile'}\n"
        "    config.adapt.update({'learning_rate': 0.01, 'steps': 2})\n"
        "    config.meta_optimizer = {'phi': adam(0.01)}\n"
        "    config.train.steps = my_parts.STEPS\n    return config\n"
    )
    out = run([programs / "meta-shrink", "train", "--config=mine.py", "--workdir=w"], tmp_path)
    assert out.startswith("mine: 2 meta-steps")


@pytest.mark.slow
def test_your_own_data_as_the_document_says(programs, tmp_path):
    """Every Python block, then every command but the last, which serves until it is stopped."""
    pytest.importorskip("vega_datasets")
    text = (ROOT / "docs" / "your_own.md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    (tmp_path / "own.py").write_text(code)
    run([programs / "python", "own.py"], tmp_path)
    lines = [line for line in text.splitlines() if re.match("(meta-shrink|python -m) ", line)]
    assert [line for line in lines if "serve" in line] == lines[-1:] and len(lines) > 3
    for line in lines[:-1]:
        name, *flags = re.sub(r"^python -m (launch\.|(?=export))", "", line).split()
        name = name.removeprefix("meta-shrink ").replace(".", "-").replace("_", "-")
        tiny = ["--config.train.steps=3", "--config.adapt.steps=2"] * (name == "train")
        run([programs / "meta-shrink", name, *flags, *tiny], tmp_path)
    assert len(list((tmp_path / "adapters" / "barley_files").glob("*.safetensors"))) == 9


@pytest.mark.slow
def test_tests_of_the_sdist_run(built, tmp_path):
    with tarfile.open(built[1]) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    some = ["tests/test_house.py", "tests/test_registry.py", "tests/programs/test_cli.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *some]
    assert " passed" in run(command, tree)
    run([*command[:3], "-q", "--collect-only", "tests"], tree)
