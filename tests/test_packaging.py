"""The built distribution: what it holds and requires; the package loads without TensorFlow."""

from __future__ import annotations

import email.message
import email.parser
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.distributions import ROOT, build

EXTRAS = {"cpu", "gpu", "tpu", "images", "report", "search", "bench", "dev"}
EXTRAS |= {"serve", "litert", "sign", "speech", "docs", "score", "gcs"}
HIDE_TENSORFLOW = "import sys; sys.modules['tensorflow'] = None; "


def run_python(code: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(built) -> zipfile.ZipFile:
    return zipfile.ZipFile(built[0])


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.parser.Parser().parsestr(wheel.read(name).decode())


def test_wheel_holds_the_library_only(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"meta_shrink"}


def test_wheel_holds_every_file_of_the_library(wheel):
    files = [path for path in (ROOT / "meta_shrink").rglob("*.*") if path.suffix != ".pyc"]
    assert {str(path.relative_to(ROOT)) for path in files} <= set(wheel.namelist())


def test_wheel_holds_every_config(wheel):
    configs = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.py")}
    shipped = "meta_shrink/shipped/"
    found = {name.removeprefix(shipped) for name in wheel.namelist() if name.startswith(shipped)}
    assert found == configs


def test_sdist_holds_the_repository(built):
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("This is no git repository, but an sdist perhaps.")
    with tarfile.open(built[1]) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    assert {name for name in git.stdout.splitlines() if (ROOT / name).exists()} <= held


def test_twine_has_nothing_to_say(built):
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_links_of_the_package_page_lead_to_files_of_the_repository(metadata):
    """The page has no files beside it."""
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    page = str(metadata.get_payload())
    files = re.findall(r"\]\(" + re.escape(urls["Source"]) + r"/blob/main/([^)#]+)", page)
    assert "docs/production.md" in files
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert re.findall(r"\]\((?!https://|#)[^)]*\)", page) == []


def test_extras(metadata):
    assert set(metadata.get_all("Provides-Extra")) == EXTRAS


def test_no_tensorflow_distribution_is_a_plain_requirement(metadata):
    plain = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert plain
    assert not [line for line in plain if line.startswith("tensorflow")]


def test_version_is_the_packages(metadata):
    code = "import meta_shrink; print(meta_shrink.__version__)"
    assert run_python(code).stdout.strip() == metadata["Version"]


def test_import_does_not_load_tensorflow():
    code = "import sys, meta_shrink; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    assert run_python(code).stdout.split() == ["False", "False"]


def test_import_works_without_tensorflow():
    assert run_python(HIDE_TENSORFLOW + "import meta_shrink").returncode == 0


def test_missing_tensorflow_is_told():
    result = run_python(HIDE_TENSORFLOW + "import meta_shrink._require_tensorflow")
    last_line = result.stderr.strip().splitlines()[-1]
    assert last_line.startswith("ModuleNotFoundError: meta_shrink needs TensorFlow")
    assert all(f"meta_shrink[{extra}]" in last_line for extra in ("cpu", "gpu", "tpu"))
