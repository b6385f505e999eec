"""The built distribution: what it holds and requires; the package loads without TensorFlow."""

from __future__ import annotations

import email.message
import email.parser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOP_IGNORED = shutil.ignore_patterns(".*", "*.egg-info", "build", "data", "dist", "runs")
EXTRAS = {"cpu", "gpu", "tpu", "images", "report", "search", "bench", "dev"}
EXTRAS |= {"serve", "litert", "sign", "speech"}
HIDE_TENSORFLOW = "import sys; sys.modules['tensorflow'] = None; "


def run_python(code: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def ignored(folder: str, names: list[str]) -> set[str]:
    """What no source tree holds; `runs` is an output at the top, and a room of the library."""
    return set(TOP_IGNORED(folder, names) if Path(folder) == ROOT else ()) | {"__pycache__"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from a copy of the tree, so that no earlier build leaks into it."""
    source = tmp_path_factory.mktemp("source") / "tree"
    shutil.copytree(ROOT, source, ignore=ignored)
    (source / "README.md").touch()  # What is tested does not depend on it.
    build = run_python("import setuptools.build_meta as b; b.build_wheel('dist')", source)
    assert build.returncode == 0, build.stderr
    return zipfile.ZipFile(next((source / "dist").glob("*.whl")))


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
