"""`import meta_shrink as ms`: every public name is there, late, and needs no more than it must."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import meta_shrink as ms

ROOT = Path(__file__).resolve().parent.parent

FACE = Path(ms.__file__)
PUBLIC = [name for name in dir(ms) if not name.startswith("_")]
# These check files on machines that have no TensorFlow.
LIGHT = ["Adapter", "load_adapter", "ArraySpec", "AdapterBank", "open_workdir"]
LIGHT += [name for name in PUBLIC if name.endswith("Error")]


def names_for_type_checkers() -> dict[str, str]:
    """{name: module} of the imports under TYPE_CHECKING."""
    block = next(node for node in ast.parse(FACE.read_text()).body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def loaded_after(code: str) -> list[str]:
    """Which of TensorFlow and Keras this code imports, in a process of its own."""
    code += "\nimport json, sys\nprint(json.dumps([m for m in ('tensorflow', 'keras') "
    code += "if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_the_thing_of_its_module(name):
    module = import_module(names_for_type_checkers()[name])
    assert getattr(ms, name) is getattr(module, name)
    assert not isinstance(getattr(ms, name), type(ms)), "a module of that name hides it"


def test_type_checkers_see_the_same_names():
    assert sorted(names_for_type_checkers()) == sorted(PUBLIC)


def test_every_name_is_documented():
    assert [name for name in PUBLIC if not (getattr(ms, name).__doc__ or "").strip()] == []


def test_an_unknown_name_is_told():
    with pytest.raises(AttributeError, match=r"no 'sigma_raptile'.*dir\(meta_shrink\)"):
        ms.sigma_raptile  # noqa: B018


def test_the_import_loads_neither_tensorflow_nor_keras():
    assert loaded_after("import meta_shrink as ms; dir(ms)") == []


def test_what_reads_files_loads_no_tensorflow():
    assert loaded_after(f"from meta_shrink import {', '.join(LIGHT)}") == []


def test_without_tensorflow_the_first_use_says_what_to_install():
    code = "import sys; sys.modules['tensorflow'] = None\nimport meta_shrink as ms\nms.build"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "meta_shrink needs TensorFlow and none is installed" in done.stderr.splitlines()[-1]


def test_the_reference_has_every_public_name():
    text = (ROOT / "docs" / "reference.md").read_text()
    listed = re.findall(r"^::: meta_shrink\.(?:[\w.]+\.)?(\w+)$", text, re.M)
    assert sorted(listed) == sorted(name for name in dir(ms) if name[0] != "_")


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_the_command_line_loads_no_tensorflow(command, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"no adapter")
    code = "from meta_shrink.adapters.command_line import main\n"
    code += f"assert main([{command!r}, {str(tmp_path / 'x.safetensors')!r}]) == 4"
    assert loaded_after(code) == []
