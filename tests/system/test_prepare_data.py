"""launch.prepare_data as a user runs it: what it makes, exit codes, kills."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from meta_shrink.images.image_folder import load_image_folder
from meta_shrink.images.omniglot import load_omniglot
from tests.image_data import (
    ROOT,
    SIZE,
    csv_files,
    folder_files,
    published,
    small_splits,
    write_files,
    zipped,
)

SPLITS = small_splits()


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "launch.prepare_data", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def run(*arguments: str, code: int = 0) -> str:
    """stdout, or the one error."""
    process = start(*arguments)
    out, err = process.communicate(timeout=3600)
    assert process.returncode == code, err
    if code == 0:
        return out
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in err, err
    return errors[0]


def test_images_are_prepared_once_with_a_table(tmp_path):
    (tmp_path / "mini.zip").write_bytes(zipped(csv_files(SPLITS)))
    arguments = (
        f"images --from={tmp_path}/mini.zip --out={tmp_path}/out --image_size={SIZE}".split()
    )
    out = run(*arguments)
    table = [line.split() for line in out.splitlines()]
    assert ["train", "2", "8", "4", *["6", "x", "6", "x", "3"]] in table
    assert f"Ready: --config.task.data_dir={tmp_path}/out" in out
    before = (tmp_path / "out" / "images.npz").stat().st_mtime_ns
    assert "was prepared already" in run(*arguments)
    assert (tmp_path / "out" / "images.npz").stat().st_mtime_ns == before
    loaded = load_image_folder(str(tmp_path / "out"), image_size=SIZE)
    np.testing.assert_array_equal(loaded["val"].images, SPLITS["val"]["dace"])


def test_help_teaches():
    out = run("--help")
    assert (
        "meta-shrink prepare-data omniglot --from=FOLDER" in out and "images_background.zip" in out
    )


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        ("", 2, "expected one of omniglot, images, speech; got none"),
        ("sounds --from=images", 2, "got sounds"),
        ("speech --from=images --out=out", 3, "holds no recordings"),
        ("omniglot --out=out", 2, "--from=FOLDER with its archives, or --download"),
        ("omniglot --from=omniglot --out=out --image_size=0", 2, "image_size is 0"),
        ("omniglot --from=nothing --out=out", 3, "images_background.zip is missing: --from needs"),
        ("omniglot --from=empty --out=out", 3, "background.zip is not a whole ZIP file"),
        ("omniglot --from=cut_off --out=out", 3, "background.zip is not a whole ZIP file"),
        ("omniglot --from=other --out=out", 3, "is not the archive of Omniglot"),
        ("images --out=out", 2, "needs --from=PATH"),
        ("images --from=nothing --out=out", 3, "nothing does not exist"),
        ("images --from=omniglot --out=out", 3, "none of the known forms"),
        ("images --from=cut_off/images_background.zip --out=out", 3, "not a whole ZIP file"),
        ("images --from=images --out=a_file/out", 3, "a_file/out cannot be written (Not a dir"),
    ],
)
def test_an_error_is_one_sentence_and_leaves_nothing(arguments, code, part, tmp_path):
    write_files(tmp_path / "images", folder_files(SPLITS))
    other = zipped(folder_files(SPLITS))
    for name, content in {
        "empty": b"",
        "cut_off": other[:-100],
        "other": other,
        "omniglot": b"",
    }.items():
        write_files(tmp_path / name, {"images_background.zip": content})
    (tmp_path / "omniglot" / "images_background.zip").rename(tmp_path / "omniglot" / "a.txt")
    (tmp_path / "a_file").touch()
    before = sorted(os.listdir(tmp_path))
    placed = [
        a.replace("from=", f"from={tmp_path}/").replace("out=", f"out={tmp_path}/")
        for a in arguments.split()
    ]
    assert part in run(*placed, code=code)
    assert sorted(os.listdir(tmp_path)) == before


def test_omniglot_with_a_flipped_byte_is_refused(tmp_path):
    """Inside of a drawing, where only the archive's checksums show it."""
    source = published("omniglot")
    for path in source.glob("*.zip"):
        shutil.copyfile(path, tmp_path / path.name)
    path = tmp_path / "images_background.zip"
    with zipfile.ZipFile(path) as archive:
        member = next(m for m in archive.infolist() if m.filename.endswith(".png"))
    content = bytearray(path.read_bytes())
    content[member.header_offset + len(member.filename) + 80] ^= 1
    path.write_bytes(content)
    error = run("omniglot", f"--from={tmp_path}", f"--out={tmp_path}/out", code=3)
    assert f"images_background.zip is damaged: {member.filename}" in error
    assert not (tmp_path / "out").exists()


def test_omniglot_that_is_prepared_is_shown(omniglot_dir):
    source = f"--from={published('omniglot')}"
    out = run("omniglot", source, f"--out={omniglot_dir}")
    assert "was prepared already" in out
    table = [line.split() for line in out.splitlines()]
    assert ["few-shot", "train", "1100", "22000", "20", *["28", "x", "28", "x", "1"]] in table


@pytest.mark.slow
def test_omniglot_survives_kills_and_damage(omniglot_dir, tmp_path):
    """Killed while it is built and while it is resized; then a shard is lost."""
    expected = load_omniglot(omniglot_dir)
    arguments = "omniglot", f"--from={published('omniglot')}", f"--out={tmp_path}"
    for step in ("Building", "Resizing"):
        process = start(*arguments)
        assert process.stdout is not None
        assert any(line.startswith(step) for line in process.stdout)
        time.sleep(4)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert "few-shot train" in run(*arguments)
    left = {path.name for path in tmp_path.rglob("*")}
    assert not [name for name in left if name.endswith(".tmp") or name.startswith("incomplete")]
    np.testing.assert_array_equal(load_omniglot(str(tmp_path)).images, expected.images)

    next(tmp_path.glob("omniglot/*/*-test.tfrecord-00000*")).unlink()
    shutil.rmtree(tmp_path / "omniglot_resized")
    assert "is damaged" in run(*arguments)
    np.testing.assert_array_equal(load_omniglot(str(tmp_path)).images, expected.images)
