"""The list of small faults fits the code, and the program tells a felt fault from a survivor."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.__main__ import _touches
from tests.mutants.faults import Fault, ListError, check, read_faults, with_fault
from tests.mutants.processes import CRASHED, TOO_LONG, Job, Outcome
from tests.mutants.report import as_markdown, result_of

ROOT = Path(__file__).resolve().parent.parent
CODE = "def double(x):\n    # Twice.\n    return 2 * x\n\n\ndef half(x):\n    return x / 2\n"
TESTS = "from meta_shrink.sums import double\n\n\ndef test_double():\n    assert double(3) == 6\n"


def fault(**changes) -> Fault:
    given = {"area": "sums", "name": "one more", "file": "meta_shrink/sums.py"}
    given |= {"line": "return 2 * x", "fault": "return 3 * x"}
    return Fault(**{**given, "tests": ("tests/test_sums.py::test_double",), **changes})


def write_tree(root: Path) -> Path:
    for name, text in {
        "meta_shrink/__init__.py": "",
        "meta_shrink/sums.py": CODE,
        "tests/test_sums.py": TESTS,
        "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['slow']\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_list_fits_the_code():
    """An edited line needs its fault edited too: the sentence says which."""
    faults = read_faults()
    check(faults, ROOT)
    areas = Counter(fault.area for fault in faults)
    assert len(faults) >= 80 and min(areas.values()) >= 5
    assert all(len(fault.name) <= 80 for fault in faults)


def test_a_fault_is_put_in_at_its_line(tmp_path):
    root = write_tree(tmp_path)
    assert with_fault(fault(), root) == CODE.replace("2 * x", "3 * x")
    check([fault()], root)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"line": "return 4 * x"}, "has 0 lines 'return 4 \\* x'"),
        ({"after": "def half("}, "has 0 lines 'return 2 \\* x' after 'def half"),
        ({"line": "", "fault": "pass"}, "has 3 lines ''"),
        ({"line": "# Twice.", "fault": "# Thrice."}, "the code is the same with it"),
        ({"fault": "return 2 *"}, "invalid syntax"),
        ({"file": "meta_shrink/none.py"}, "No such file"),
        ({"tests": ("tests/test_sums.py::test_half",)}, "there is no test .*test_half"),
        ({"tests": ("tests/test_none.py::test_double",)}, "No such file"),
        ({"tests": ()}, "no test is named"),
    ],
)
def test_what_does_not_fit_is_an_error_of_the_list(tmp_path, changes, message):
    with pytest.raises(ListError, match=f"sums.toml, 'one more': .*{message}"):
        check([fault(**changes)], write_tree(tmp_path))


def test_the_second_of_two_equal_lines_is_found_by_an_earlier_one(tmp_path):
    root = write_tree(tmp_path)
    twice = CODE + "\n\ndef quadruple(x):\n    return 2 * x\n"
    (root / "meta_shrink/sums.py").write_text(twice)
    with pytest.raises(ListError, match="has 2 lines"):
        with_fault(fault(), root)
    changed = with_fault(fault(after="def quadruple("), root)
    assert changed == CODE + "\n\ndef quadruple(x):\n    return 3 * x\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("[[fault]]\nname = 'a'\n", "missing"),
        ("[[fault]]\nname = 'a'\nwrong = 1\n", "unexpected"),
        (2 * "[[fault]]\nname='a'\nfile='f'\nline='l'\nfault='g'\n", "'a' is used 2 times"),
    ],
)
def test_a_list_that_can_not_be_read(tmp_path, rows, message):
    (tmp_path / "some.toml").write_text(rows)
    with pytest.raises(ListError, match=message):
        read_faults(tmp_path)


PROGRAM = """
import json, os, sys
from pathlib import Path
from tests.mutants.faults import Fault
from tests.mutants.processes import ENVIRONMENT, Job, run_jobs

os.environ.update(ENVIRONMENT)
import pytest

folder, limit_s = Path(sys.argv[1]), float(sys.argv[3])
jobs = [Job((tests,), Fault(*row) if row else None) for tests, row in json.loads(sys.argv[2])]
for outcome in run_jobs(jobs, [folder / "copy"], limit_s=limit_s):
    print(json.dumps([outcome.job.fault and outcome.job.fault.fault, outcome.status]))
"""


def outcomes_of(folder: Path, faults: list[Fault | None], limit_s: float) -> list[tuple]:
    """(fault, status) of each job, in a process of its own: this one has TensorFlow's threads."""
    for name in ("original", "copy"):
        write_tree(folder / name)
    jobs = json.dumps([("tests/test_sums.py::test_double", fault) for fault in faults])
    command = [sys.executable, "-c", PROGRAM, str(folder), jobs, str(limit_s)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (folder / "copy/meta_shrink/sums.py").read_text() == CODE
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_outcomes_of_test_runs_in_forked_processes(tmp_path):
    texts = ["return 3 * x", "return x + x", "import os; os.kill(os.getpid(), 9)", "1 / 0"]
    faults = [fault(fault=text) for text in texts]
    broken = fault(line="def double(x):", fault="def other(x):")
    found = outcomes_of(tmp_path, [None, *faults, broken, None], limit_s=600)
    assert [text for text, _ in found] == [None, *texts, broken.fault, None]
    # The last fault leaves nothing to import: pytest's status for tests that it does not find.
    assert [status for _, status in found] == [0, 1, 0, CRASHED, 1, 4, 0]


def test_tests_without_an_end_are_ended(tmp_path):
    assert outcomes_of(tmp_path, [fault(fault="while True: pass")], limit_s=1) == [
        ("while True: pass", TOO_LONG)
    ]


LOG = "short summary\nFAILED tests/a/test_b.py::test_c[x-1] - assert 1 == 2\n1 failed\n"


@pytest.mark.parametrize(
    ("status", "equivalent", "verdict", "is_wrong"),
    [
        (1, "", "felt by test_c", False),
        (CRASHED, "", "felt by test_c (crashed)", False),
        (TOO_LONG, "", "felt by test_c (took too long)", False),
        (0, "", "SURVIVES", True),
        (0, "it is so", "equivalent: it is so", False),
        (1, "it is so", "felt, so it is not equivalent", True),
        (2, "", "no test judged it (status 2)", True),
        (5, "", "no test judged it (status 5)", True),
    ],
)
def test_verdicts(status, equivalent, verdict, is_wrong):
    job = Job(("tests/a/test_b.py",), fault(equivalent=equivalent))
    result = result_of(Outcome(job, status, LOG))
    assert result.verdict.startswith(verdict) and result.is_wrong is is_wrong
    page = as_markdown([result], {"commit": "abc", "minutes": "1.5"})
    assert f"Commit abc: 1 faults in 1.5 minutes, {int(is_wrong)} survive" in page


@pytest.mark.parametrize("ending", ["1 skipped in 0.01s", "3 passed, 1 skipped in 2.00s"])
def test_skipped_tests_do_not_judge(ending):
    for status, tried, wrong in ((0, False, False), (1, True, False)):
        result = result_of(Outcome(Job(("tests/a.py",), fault()), status, f"s\n{ending}\n"))
        assert (result.is_tried, result.is_wrong) == (tried, wrong)


@pytest.mark.parametrize(
    ("changed", "touched"),
    [
        ("meta_shrink/sums.py", True),
        ("tests/test_sums.py", True),
        ("tests/mutants/sums.toml", True),
        ("README.md", False),
    ],
)
def test_a_change_touches_the_faults_of_its_code_tests_and_list(changed, touched):
    assert _touches(fault(), {changed}) is touched
