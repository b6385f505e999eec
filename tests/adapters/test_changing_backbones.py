"""`meta-shrink verify|inspect --backbone`: a folder that changes meanwhile, or may not be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from meta_shrink.adapters import command_line
from meta_shrink.adapters.command_line import main
from meta_shrink.adapters.writing import write_adapter
from tests.adapters import samples


@pytest.fixture
def good(tmp_path: Path) -> str:
    return write_adapter(samples.encoded(samples.backbone()), str(tmp_path / "adapters"))


@pytest.fixture
def backbone(tmp_path: Path) -> str:
    samples.write_backbone(tmp_path / "backbone")
    return str(tmp_path / "backbone")


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_a_version_that_appears_meanwhile_is_not_mixed_with_the_former(
    command, good, backbone, monkeypatch, capsys
):
    """Its phi would not be the one that the info of the former one names."""
    read = command_line.read_backbone_info

    def then_another(directory):
        info = read(directory)
        newer = Path(backbone) / "2"
        shutil.copytree(newer.with_name("1"), newer)
        (newer / "assets.extra/default.safetensors").write_bytes(b"of another phi")
        return info

    monkeypatch.setattr(command_line, "read_backbone_info", then_another)
    assert main([command, good, f"--backbone={backbone}"]) == 0
    assert capsys.readouterr().err == "" and (Path(backbone) / "2").is_dir()


def test_a_backbone_that_may_not_be_read(good, backbone, monkeypatch, capsys):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("meta_shrink.adapters.backbone_info.os.listdir", refuse)
    assert main(["verify", good, f"--backbone={backbone}"]) == 4
    told = f"error: {backbone} cannot be read (Permission denied): check its permissions.\n"
    assert capsys.readouterr().err == told
