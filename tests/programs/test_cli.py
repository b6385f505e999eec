"""How a program ends when its command line is wrong (meta_shrink/programs/cli.py)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meta_shrink.programs import cli
from meta_shrink.programs.comparison.declared import load_config

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
from ml_collections import config_flags
from meta_shrink.programs import cli
from meta_shrink.programs.comparison.declared import load_config
from meta_shrink.errors import DataError

CONFIG = config_flags.DEFINE_config_file("config", None, "The config.")

def main(argv):
    cli.no_arguments(argv)
    if CONFIG.value.steps == 3:
        raise DataError("the data is gone.")
    if CONFIG.value.steps == 4:
        raise ModuleNotFoundError("No module named 'optuna.trial'", name="optuna.trial")
    return CONFIG.value.steps

cli.run(main)
"""
CONFIG = """
from ml_collections import ConfigDict
from meta_shrink.errors import UsageError

def get_config(name="good"):
    if name == "other":
        raise UsageError("no algorithm is called other.")
    return ConfigDict({"steps": 0, "adapt": {"steps": 1, "rate": 2}, "list": [1]})
"""
STEPZ = (
    "error: --config.adapt.stepz: Config section 'adapt' has no key 'stepz' (nearest: 'steps'); "
    "its keys are "
)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--config=config.py"], 0, ""),
        (["--config=config.py", "--config.steps=42"], 42, ""),
        (["--config=config.py", "--config.steps=3"], 3, "error: the data is gone."),
        (
            ["--config=config.py", "--config.steps=4"],
            4,
            "needs optuna, which is not installed",
        ),
        (["--config=config.py", "--config.steps=many"], 2, "--config.steps=many"),
        (["--config=config.py", "--config.stepz=3"], 2, "no key 'stepz' (nearest: 'steps')"),
        (["--config=config.py", "--config.adapt.stepz=3"], 2, STEPZ),
        (["--config", "config.py", "--config.adapt.stepz", "3"], 2, STEPZ),
        (["--config=config.py", "--config.adopt.steps=3"], 2, "no key 'adopt' (nearest: 'adapt')"),
        (["--config=config.py", "--noconfig.adapt.x"], 2, "has no key 'x'; its keys are"),
        (["--config=config.py", "--config.steps.x=3"], 2, "'steps' is a value and has no key 'x'"),
        (["--config=config.py", "--config.list[0]=3"], 0, ""),
        (
            ["--config=config.py", "--config.list=[[64, 64"],
            2,
            "config.list=[[64, 64: expected a list",
        ),
        (["--config=config.py", "--config.list=3"], 2, "expected a list, such as [8, 8]"),
        (["--config=config.py", "--config.list={3}"], 2, "expected a list, such as [8, 8]"),
        (["--config=folder"], 2, "error: --config=folder: the file is a folder"),
        (["--config=absent.py:other"], 2, "error: --config=absent.py: the file does not exist"),
        (
            ["--config=gs://b/config.py:other"],
            2,
            "error: --config is the URL gs://b/config.py:other",
        ),
        (["--config=config.py:other"], 2, "error: no algorithm is called other."),
        (["--config=absent.py"], 2, "absent.py"),
        (["--config=config.py", "--confg=3"], 2, "confg"),
        (["--config=config.py", "extra"], 2, "unexpected argument 'extra'"),
        (["--help"], 0, ""),
    ],
)
def test_exit_code_and_sentence(tmp_path, arguments, code, sentence):
    (tmp_path / "config.py").write_text(CONFIG)
    (tmp_path / "folder").mkdir()
    (tmp_path / "program.py").write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r}){PROGRAM}")
    command = [sys.executable, "program.py", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == (code in (2, 3, 4))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("[64, 32]", [64, 32]),
        ("(64,)", [64]),
        ("8,8", [8, 8]),
        ("[]", []),
        ("", []),
        ("all,single", ["all", "single"]),
        ("all", ["all"]),
        ("['all', 'single']", ["all", "single"]),
        ("[[1, 2], [3]]", [[1, 2], [3]]),
    ],
)
def test_a_list_of_a_config_is_set_by_a_flag(tmp_path, written, read):
    (tmp_path / "config.py").write_text(CONFIG)
    arguments = [f"--config={tmp_path / 'config.py'}", f"--config.list={written}"]
    assert load_config("a run", arguments)["list"] == read


def test_another_backend_of_keras_is_told_before_a_config_is_executed(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(SystemExit) as ended:
        cli.parse_flags(["program", "--no_such_flag"])
    assert ended.value.code == 2
    assert "error: KERAS_BACKEND is 'jax', and 'tensorflow'" in capsys.readouterr().err
