"""List the configs and comparisons that come with the package, or copy them to change them.

  meta-shrink configs
  meta-shrink configs --copy=FOLDER         FOLDER/configs

--config=configs/sinusoid.py:demo finds a shipped one where the present folder has no such file. A
config of your own starts from meta_shrink.default_config; the shipped ones are examples.
"""

import ast
import shutil
from pathlib import Path

from absl import flags

from meta_shrink.errors import UsageError
from meta_shrink.programs import cli
from meta_shrink.programs.shipped import shipped_root

COPY = flags.DEFINE_string("copy", None, "Folder to copy the folder `configs` into.")


def main(argv):
    """List or copy; see the module's docstring."""
    cli.no_arguments(argv)
    if COPY.value is not None:
        return copy(COPY.value)
    found = {path: text for path in configs() if "get_config" in (text := path.read_text())}
    for path, text in found.items():
        about = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        print(f"{path.relative_to(shipped_root())!s:<46}{about}")


def configs() -> list[Path]:
    """All files of the shipped `configs`."""
    return sorted((shipped_root() / "configs").rglob("*.py"))


def copy(folder: str) -> None:
    """Copy the folder of the configs into another.

    Raises:
      UsageError: it has one already.
    """
    target = Path(folder) / "configs"
    if target.exists():
        raise UsageError(f"{target} exists already; choose another folder.")
    for path in configs():
        place = target / path.relative_to(shipped_root() / "configs")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    print(f"Configs: {target}")
