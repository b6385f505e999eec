"""The house rules of CONTRIBUTING.md that a program can check, on every file of the tree."""

from __future__ import annotations

import ast
import fnmatch
import re
import statistics
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# A module imports from its own folder or lower levels. A new file or folder is one word here.
LEVELS = {
    0: "_require_tensorflow durable_files errors intervals pitch rng types variable_paths",
    1: "adapters adapters.* images images.* models models.* network_loss params registry runs "
    "remote remote.* runs.* sections stopping task_axis",
    2: "adaptation keras_model linear_solve prior proximal reporting reporting.* serving serving.* "
    "speech speech.*",
    3: "losses meta_gradients meta_gradients.* tasks tasks.* training training.*",
    4: "backbones backbones.* evaluation",
    5: "enrolment enrolment.*",
    6: "experiments experiments.*",
    7: "programs programs.*",
    8: "__main__",
}
# meta_shrink/__init__.py hands out names of all of them; the library itself takes its version only.
FACE_LEVEL = 8
PROGRAM_LEVELS = {"configs": 9, "launch": 9, "export": 9, "benchmarks": 10}
LIBRARY = ("meta_shrink",)
CODE = (*LIBRARY, "configs", "launch", "export", "benchmarks")
ALL_CODE = (*CODE, "tests")
LATE = ("meta_shrink.programs", *CODE[1:])  # where imports may stand inside functions
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
CLOCKS = re.compile(r"(monotonic|perf_counter|process_time|thread_time|time\.time)(_ns)?$|\.now$")
MAX_FUNCTION_LINES = 50
MAX_FILE_LINES = 250
MAX_MEDIAN_FUNCTION_LINES = 10

FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = r"^(eval|exec)$|\byaml\.load$|\bload_model$|\bextractall$"
FORBIDDEN_KEYWORDS = {"shell", "allow_pickle"}
# Written in pieces, so that this file passes its own test.
FORBIDDEN_TEXT = re.compile(
    r"(?<![\w.~])/(?:work|root" + r"|tmp)/|\b(?:TO" + r"DO|FIX" + r"ME)\b"
    "|NotImplemented" + "Error|pypi" + r"\.org|python" + r"hosted\.org|\b[Cc]an no" + r"t\b"
)


@cache
def tracked_files() -> tuple[Path, ...]:
    """Files that git has or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    output = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True).stdout
    names = output.rstrip("\0").split("\0") if output else ROOT.rglob("[!.]*")  # An unpacked sdist.
    return tuple(path for path in sorted({ROOT / name for name in names}) if path.is_file())


def python_files(*folders: str) -> list[Path]:
    """Tracked Python files below these folders of the root."""
    return [
        path
        for path in tracked_files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders
    ]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def where(path: Path, node: Any) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def nodes(folders: tuple[str, ...], *kinds: type) -> Iterator[tuple[Path, Any]]:
    """(file, node) of every syntax node of these kinds."""
    for path in python_files(*folders):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, kinds):
                yield path, node


def report(title: str, found: list[str]) -> None:
    """Fail with one line for each thing found."""
    __tracebackhide__ = True
    assert not found, "\n".join([title, *found])


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def level_of(module: str) -> float | None:
    """Level of a module, None if the table does not name it."""
    package, _, name = module.partition(".")
    if package != "meta_shrink":
        return PROGRAM_LEVELS.get(package)
    rows = ((level, pattern) for level, row in LEVELS.items() for pattern in row.split())
    matching = (level for level, pattern in rows if fnmatch.fnmatchcase(name, pattern))
    return next(matching, None) if name else FACE_LEVEL


def package_of(module: str) -> str:
    """The sub-package within which imports are free: meta_shrink.models, launch, ..."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "meta_shrink" else parts[0]


def imported_modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Modules of ours that an import statement names."""
    if isinstance(node, ast.Import):
        found = [alias.name for alias in node.names]
    elif node.module == "meta_shrink":  # `from meta_shrink import params` imports a module.
        names = [alias.name for alias in node.names if alias.name != "__version__"]
        found = [f"{node.module}.{name}" for name in names]
        found = [name if level_of(name) is not None else "meta_shrink" for name in found]
    else:
        found = [node.module or ""]
    return [name for name in found if name.split(".")[0] in ALL_CODE]


def may_import(importer: str, imported: str) -> bool:
    """Whether the levels allow it."""
    if package_of(importer) == package_of(imported):
        return True
    # test_every_file_has_a_level tells of an importer without a level. tests/ has none.
    mine, other = level_of(importer), level_of(imported)
    return mine is None or (other is not None and other < mine)


def lines_in(node: Any) -> int:
    """Lines of a function from `def` to its end, its docstring included."""
    return node.end_lineno - node.lineno + 1


def test_every_file_has_a_level():
    names = [module_name(path) for path in python_files(*CODE)]
    without = [name for name in names if level_of(name) is None]
    report("No level in LEVELS of tests/test_house.py for:", without)


def test_imports_go_down():
    found = [
        f"{where(path, node)}: {module_name(path)} (level {level_of(module_name(path))}) imports "
        f"{imported} (level {level_of(imported)})"
        for path, node in nodes(CODE, ast.Import, ast.ImportFrom)
        for imported in imported_modules(node)
        if not may_import(module_name(path), imported)
    ]
    report("A module imports only from lower levels:", found)


def has_comment(path: Path, first: int, last: int) -> bool:
    """Whether one of these lines has a comment."""
    return any("#" in line for line in path.read_text().splitlines()[first - 1 : last])


def test_imports_stand_at_the_top():
    """Programs may import late, where a comment says why: their help is quick so."""
    found = [
        where(path, node)
        for path, function in nodes(CODE, *FUNCTION)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        if not module_name(path).startswith(LATE)
        or not has_comment(path, function.lineno, node.lineno)
    ]
    report("Imports inside functions:", found)


def test_function_lengths():
    found = [
        f"{where(path, node)}: {node.name} has {lines_in(node)} lines"
        for path, node in nodes(ALL_CODE, *FUNCTION)
        if lines_in(node) > MAX_FUNCTION_LINES
    ]
    report(f"Functions of more than {MAX_FUNCTION_LINES} lines:", found)


def test_median_function_length():
    lengths = [lines_in(node) for _, node in nodes(LIBRARY, *FUNCTION)]
    median = statistics.median(lengths or [0])
    assert median <= MAX_MEDIAN_FUNCTION_LINES, f"median of {len(lengths)} functions: {median}"


def test_file_lengths():
    found = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in python_files(*ALL_CODE)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_FILE_LINES
    ]
    report(f"Files of more than {MAX_FILE_LINES} lines:", found)


def test_no_assert_in_the_library():
    found = [where(path, node) for path, node in nodes(LIBRARY, ast.Assert)]
    report("Assert statements, which python -O removes; raise an error of errors.py:", found)


def is_forbidden_call(node: ast.Call) -> bool:
    by_keyword = any(
        keyword.arg in FORBIDDEN_KEYWORDS and ast.unparse(keyword.value) != "False"
        for keyword in node.keywords
    )
    return by_keyword or re.search(FORBIDDEN_CALLS, ast.unparse(node.func)) is not None


def test_no_call_that_can_run_a_file_s_code():
    calls = [
        f"{where(path, node)}: {ast.unparse(node)}"
        for path, node in nodes(CODE, ast.Call)
        if is_forbidden_call(node)
    ]
    imports = [
        f"{where(path, node)}: {ast.unparse(node)}"
        for path, node in nodes(CODE, ast.Import, ast.ImportFrom)
        if FORBIDDEN_MODULES & {word.split(".")[0] for word in ast.unparse(node).split()}
    ]
    report("Forbidden calls and modules:", calls + imports)


def test_no_verdict_depends_on_the_clock():
    found = [
        f"{where(path, node)}: {ast.unparse(node)}"
        for path, node in nodes(("tests",), ast.Call)
        if path.parent.name != "mutants" and CLOCKS.search(ast.unparse(node.func))  # A program.
    ]
    report("Clocks read by tests, which fail on a busy machine:", found)


def test_no_machine_path_and_no_unfinished_work():
    found = []
    for path in tracked_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {match[0]}"
            for number, line in enumerate(lines, 1)
            if (match := FORBIDDEN_TEXT.search(line))
        ]
    report("Machine paths, package registries, unfinished work, 'cannot' in two words:", found)
