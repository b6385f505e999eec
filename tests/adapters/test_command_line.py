"""`meta-shrink inspect|verify|sign`: what it prints, how it ends, and that it is light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from meta_shrink.adapters.canonical_json import sha256
from meta_shrink.adapters.command_line import main
from meta_shrink.adapters.writing import write_adapter
from tests.adapters import samples

ROOT = Path(__file__).resolve().parents[2]
INFO = samples.backbone()
GOOD = samples.encoded(INFO)
LIGHT = """
import sys
from meta_shrink.adapters.command_line import main
code = main(sys.argv[1:])
heavy = {"tensorflow", "keras", "jax", "torch", "model_signing", "rich"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else code)
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    return write_adapter(GOOD, str(tmp_path / "adapters"))


@pytest.fixture
def backbone(tmp_path: Path) -> str:
    samples.write_backbone(tmp_path / "backbone")
    return str(tmp_path / "backbone")


def written(tmp_path: Path, content: bytes, name: str = "other.safetensors") -> str:
    path = tmp_path / name
    path.write_bytes(content)
    return str(path)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_verify_tells_what_it_checked_and_what_it_did_not(good, backbone, capsys):
    assert main(["verify", good]) == 0
    assert capsys.readouterr().out == (
        f"ok: {good} (checked: content, values, the SHA-256 in its name; not checked: backbone, "
        "names, shapes, probe, for want of --backbone; who made it, for want of a pin or a key)\n"
    )
    assert main(["verify", good, f"--backbone={backbone}", "--sha256", sha256(GOOD)]) == 0
    assert capsys.readouterr().out == (
        f"ok: {good} (checked: content, values, --sha256, backbone, names, shapes; not checked: "
        "probe, which needs TensorFlow)\n"
    )


@pytest.mark.parametrize("flag", ["--sha256=", "--public_key=", "--backbone="])
@pytest.mark.parametrize("file", ["adapter", "none"])
def test_an_empty_value_is_wrong_usage(flag, file, good, capsys):
    """An unset variable of a script must not turn a check off."""
    assert main(["verify", good if file == "adapter" else "none", flag]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{flag.rstrip('=')} is empty" in printed.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "x", "--backbone="],
        ["sign", "x", "--private_key="],
        ["sign", "", "--private_key=x"],
        ["verify", ""],
        ["inspect", ""],
    ],
)
def test_empty_values_of_the_other_commands(arguments, capsys):
    assert main(arguments) == 2
    assert "is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["verify", "good.safetensors", "gs://b/x"], "FILE"),
        (["inspect", "gs://b/x"], "FILE"),
        (["verify", "x", "--backbone=gs://b/x"], "--backbone"),
        (["sign", "x", "--private_key=gs://b/x"], "--private_key"),
    ],
)
def test_a_url_is_no_file(arguments, what, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {what} is the URL gs://b/x: ")


PIN = sha256(GOOD)


@pytest.mark.parametrize(
    "pin", [" ", PIN.upper(), PIN[:-1], PIN + "0", f"{PIN}\n", f"sha256:{PIN}"]
)
def test_a_pin_that_is_none_is_wrong_usage(pin, good, capsys):
    assert main(["verify", good, "--sha256", pin]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("flag", ["--sha256", "--public_key", "--backbone"])
def test_a_flag_that_is_given_twice_is_wrong_usage(flag, good, capsys):
    """The first pin would not be checked."""
    with pytest.raises(SystemExit) as caught:
        main(["verify", good, f"{flag}={'0' * 64}", f"{flag}={PIN}"])
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert f"{flag} is given twice" in printed.err and printed.out == ""


def test_verify_has_one_line_for_each_file(good, tmp_path, capsys):
    cut = written(tmp_path, GOOD[:-1])
    assert main(["verify", good, cut, str(tmp_path), good]) == 4
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["ok", "size", "file", "ok"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (samples.forged(GOOD, payload=b"\xff" * 148), "value"),
        (GOOD[:-1] + b"\0", "content"),
        (b"", "size"),
    ],
)
def test_verify_without_a_backbone_looks_at_values_and_hashes(content, code, tmp_path, capsys):
    path = written(tmp_path, content)
    assert main(["verify", path]) == 4
    assert capsys.readouterr().out.startswith(f"{code}: {path}")


def test_verify_with_a_backbone(tmp_path, backbone, capsys):
    other = samples.encoded(samples.backbone(weights_sha256="0" * 64))
    int8 = samples.encoded(INFO, "int8_delta")
    assert main(["verify", written(tmp_path, other), f"--backbone={backbone}"]) == 4
    assert "backbone: " in capsys.readouterr().out
    assert main(["verify", written(tmp_path, int8), f"--backbone={backbone}"]) == 0
    default = str(tmp_path / "backbone/1/assets.extra/default.safetensors")
    assert main(["verify", default, f"--backbone={backbone}"]) == 0
    assert "unlike the backbone's own tasks in conv" in capsys.readouterr().out


def test_a_file_named_by_an_id_must_have_it(tmp_path, good, capsys):
    named = written(tmp_path, GOOD, "0" * 64 + ".safetensors")
    assert main(["verify", named]) == 4
    assert "pin: " in capsys.readouterr().out
    assert main(["inspect", named]) == 4
    assert main(["verify", good, "--sha256", "0" * 64]) == 4


def test_inspect_shows_the_facts(good, backbone, capsys):
    assert main(["inspect", good]) == 0
    text = capsys.readouterr().out
    for words in (sha256(GOOD), f"{len(GOOD)} bytes", "speaker-7, 40 examples, 100 steps, seed 3"):
        assert words in text
    table = [line.split() for line in text.splitlines()[-4:]]
    assert table == [
        ["name", "sigma2", "tensors", "bytes"],
        ["conv", "0.5", "2", "112"],
        ["gain", "-", "1", "4"],
        ["moments", "-", "2", "32"],
    ]
    assert main(["inspect", good, "--backbone", backbone]) == 0
    conv = capsys.readouterr().out.splitlines()[-3].split()
    assert conv == ["conv", "0.5", "2", "112", "0.368", "0.1", "to", "10", "yes"]


def test_inspect_as_json(good, backbone, capsys):
    assert main(["inspect", good, f"--backbone={backbone}", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["id"] == sha256(GOOD)
    assert facts["backbone"] == INFO.fingerprint
    assert facts["modules"][0]["plausible"] is True
    assert facts["modules"][1]["plausible"] is None


def test_inspect_refuses_what_is_no_adapter(tmp_path, capsys):
    assert main(["inspect", written(tmp_path, GOOD[:50])]) == 4
    assert capsys.readouterr().err.startswith("error: ")


def test_a_backbone_that_is_none(good, tmp_path, capsys):
    assert main(["verify", good, f"--backbone={tmp_path}"]) == 4
    assert "is not a backbone" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["inspect"], ["verify"], ["prove", "x"], ["sign", "x"], ["verify", "x", "--sha", "y"]],
)
def test_wrong_usage(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_one_pin_for_two_files_is_wrong_usage(good, capsys):
    assert main(["verify", good, good, "--sha256", sha256(GOOD)]) == 2
    assert "--sha256 is of one file" in capsys.readouterr().err


def test_the_command_is_light(good, backbone):
    """No TensorFlow; about 0.2 s on an idle core."""
    for command in ("inspect", "verify"):
        done = run("-c", LIGHT, command, good, f"--backbone={backbone}")
        assert (done.returncode, done.stderr) == (0, "")


def test_as_a_module(good, tmp_path):
    assert run("-m", "meta_shrink", "verify", good).returncode == 0
    assert run("-m", "meta_shrink", "verify", str(tmp_path / "none")).returncode == 4
    assert run("-m", "meta_shrink", "--version").stdout.startswith("meta_shrink ")
