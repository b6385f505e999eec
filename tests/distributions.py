"""The built distributions, and an environment that holds the wheel and no checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOP_IGNORED = shutil.ignore_patterns(
    ".git", ".[!cgp]*", ".pytest_cache", "*.egg-info", "build", "data", "dist", "runs", "site"
)


def ignored(folder: str, names: list[str]) -> set[str]:
    """What no source tree holds; `runs` is an output at the top, and a room of the library."""
    return set(TOP_IGNORED(folder, names) if Path(folder) == ROOT else ()) | {"__pycache__"}


def build(folder: Path) -> tuple[Path, Path]:
    """(wheel, sdist), built in a copy of the tree, so that no earlier build leaks into them."""
    source = folder / "tree"
    shutil.copytree(ROOT, source, ignore=ignored)
    code = "import setuptools.build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,), (sdist,) = ((source / "dist").glob(end) for end in ("*.whl", "*.tar.gz"))
    return wheel, sdist


def install(wheel: Path, folder: Path) -> Path:
    """The `bin` of a new environment with the wheel, and what it requires from that of the tests.

    A line of a .pth file adds a folder without the .pth files in it: an editable installation of
    the checkout is not seen.
    """
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", "--disable-pip-version-check", wheel], check=True)
    (site,) = (environment / "lib").glob("python*/site-packages")
    (site / "packages_of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"
