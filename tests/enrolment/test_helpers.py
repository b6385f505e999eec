"""Tasks shared between processes: the same files, and what ends one or all of them."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import AdaptOptions, Preempted, UsageError, adapt_tasks
from meta_shrink.adapters.index import read_index
from meta_shrink.enrolment import helpers
from meta_shrink.errors import AdapterError, DataError, MetaShrinkError
from tests.system.test_programs import assert_one_error, run, start
from tests.tiny_runs import NO_LOG

pytestmark = pytest.mark.programs
LABELS = np.arange(9, dtype=np.int32) % 3
SHORT = AdaptOptions(steps=4)


def images(number: int, count: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, [count, 8, 8, 1]).astype(np.uint8)


def write_tasks(folder: Path, count: int) -> str:
    folder.mkdir()
    for number in range(count):
        held = {"heldout_inputs": images(100 + number, 3), "heldout_targets": LABELS[:3]}
        arrays = {"inputs": images(number, 9), "targets": LABELS, **held}
        np.savez(folder / f"task_{number}.npz", **arrays)
    return str(folder)


def files(out: Path) -> dict[str, bytes]:
    """The content of all files but the lock."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"}


@pytest.fixture
def started(monkeypatch):
    """The processes that were started."""
    processes: list[subprocess.Popen] = []

    class Spied(subprocess.Popen):
        def __init__(self, *args, **options) -> None:
            processes.append(self)
            super().__init__(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", Spied)
    return processes


def test_two_processes_make_the_files_of_one(backbone, started, tmp_path, capsys):
    data = write_tasks(tmp_path / "data", 3)
    one = adapt_tasks(backbone, data, str(tmp_path / "one"), SHORT)
    assert not started
    assert adapt_tasks(backbone, data, str(tmp_path / "two"), SHORT, processes=2) == one
    assert len(started) == 2
    assert len(files(tmp_path / "two")) == 5
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert "adaptation: 12/12 (100 %)" in capsys.readouterr().err.splitlines()[-1]
    # What is done is not done again, and nothing is started for it.
    adapt_tasks(backbone, data, str(tmp_path / "two"), SHORT, processes=2)
    assert len(started) == 2


def test_a_task_in_memory_that_fails_in_a_process_is_told_as_in_one(backbone, started, tmp_path):
    with_heldout = {"inputs": images(0, 9), "targets": LABELS}
    with_heldout |= {"heldout_inputs": images(1, 3), "heldout_targets": LABELS[:3]}
    tasks = {"a": with_heldout, "b": (images(2, 9), LABELS)}
    options, sentences = SHORT._replace(early_stop=1), []
    for processes in (1, 2):
        out, how = str(tmp_path / str(processes)), {"processes": processes, **NO_LOG}
        with pytest.raises(DataError) as caught:
            adapt_tasks(backbone, tasks, out, options, **how)
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1] and "which early stopping needs" in sentences[0]
    assert [process.poll() is None for process in started] == [False, False]
    done = adapt_tasks(backbone, {"a": with_heldout}, out, options, **how)
    assert list(done) == ["a"]


@pytest.mark.parametrize("seed", [-1, 2**31, 2**40])
def test_a_seed_that_would_become_another_is_refused(backbone, seed, tmp_path):
    with pytest.raises(UsageError, match=f"options.seed is {seed}; expected"):
        adapt_tasks(
            backbone,
            {"a": (images(0, 9), LABELS)},
            str(tmp_path),
            SHORT._replace(seed=seed),
            **NO_LOG,
        )


@pytest.mark.parametrize("processes", [1, 2])
def test_a_damaged_task_is_left_out_and_told_when_the_others_are_done(
    backbone, processes, tmp_path
):
    data, out = write_tasks(tmp_path / "data", 3), str(tmp_path / "out")
    (tmp_path / "data" / "task_1.npz").write_text("no")
    (tmp_path / "data" / "task_2.npz").write_text("no")
    with pytest.raises(DataError, match=r"2 of 3 were left out, .*task_1: .*; task_2: "):
        adapt_tasks(backbone, data, out, SHORT, processes=processes, **NO_LOG)
    assert list(read_index(out)) == ["task_0"]
    left_out: dict[str, str] = {}
    done = adapt_tasks(backbone, data, out, SHORT, left_out=left_out, **NO_LOG)
    assert list(done) == ["task_0"] and list(left_out) == ["task_1", "task_2"]


def stopped_by(what, backbone, out: Path, data: str) -> MetaShrinkError:
    """What adapt_tasks raises if `what` is called once the first of many tasks is done."""

    def stop_requested() -> bool:
        return bool(list(out.glob("tasks.json*"))) and bool(what())

    with pytest.raises(Preempted) as caught:
        adapt_tasks(
            backbone,
            data,
            str(out),
            SHORT,
            processes=2,
            stop_requested=stop_requested,
            **NO_LOG,
        )
    return caught.value


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_what_is_finished_is_kept_and_the_same_call_goes_on(how, backbone, started, tmp_path):
    data, out = write_tasks(tmp_path / "data", 12), tmp_path / "out"

    def kill_one() -> None:
        started[0].kill()

    error = stopped_by(kill_one if how == "killed" else lambda: True, backbone, out, data)
    assert ("killed by SIGKILL" if how == "killed" else "does these tasks again") in str(error)
    assert [process.poll() is None for process in started] == [False, False]
    # An adapter whose helper ended before it could say so is no finished task: it is made again.
    finished = [out / f"{identity}.safetensors" for identity in read_index(str(out)).values()]
    kept = {path.name: path.stat().st_mtime_ns for path in finished}
    assert 0 < len(kept) < 12
    tasks = adapt_tasks(backbone, data, str(out), SHORT, **NO_LOG)
    assert len(tasks) == 12
    assert kept.items() <= {p.name: p.stat().st_mtime_ns for p in out.iterdir()}.items()


def test_each_process_sees_one_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["one", "other"])

    def seen() -> list[str]:
        return [helpers._environment(number)["CUDA_VISIBLE_DEVICES"] for number in range(3)]

    assert seen() == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert seen() == ["4", "7", "4"]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert seen() == ["4,7"] * 3


def test_an_error_of_an_adapter_goes_to_another_process_with_its_code():
    error = copy.copy(AdapterError("value", "has NaN"))  # By what sends it as well.
    assert (error.code, str(error)) == ("value", "has NaN")


def test_a_wrong_number_is_refused(backbone, folder, tmp_path):
    data = write_tasks(tmp_path / "data", 1)
    with pytest.raises(UsageError, match="processes is 257; expected 1 to 256"):
        adapt_tasks(backbone, {}, str(tmp_path / "out"), SHORT, processes=257, **NO_LOG)
    with pytest.raises(UsageError, match="processes is 0; expected 1 to 256"):
        adapt_tasks(backbone, data, str(tmp_path / "out"), SHORT, processes=0)
    places = [f"--backbone={folder}", f"--data={data}", f"--out={tmp_path / 'out'}"]
    for number in ("257", "two"):
        error = run("adapt", *places, f"--processes={number}", code=2).stderr
        assert "--processes" in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_the_program_and_its_processes(sent, folder, tmp_path):
    data, out = write_tasks(tmp_path / "data", 12), tmp_path / "out"
    arguments = [f"--backbone={folder}", f"--data={data}", f"--out={out}", "--steps=300"]
    process = start("adapt", *arguments, "--processes=2", start_new_session=True)
    while not list(out.glob("*.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    own = children_of(process.pid)
    assert len(own) == 2
    os.killpg(process.pid, sent)  # As a terminal does.
    _, error = process.communicate(timeout=600)
    if sent == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 42
        assert_one_error(error, "the same command goes on")
    while any(map(is_running, own)):  # For ever, if nothing ends them.
        time.sleep(0.01)
    run("adapt", *arguments, "--processes=2")
    run("adapt", *arguments[:2], f"--out={tmp_path / 'whole'}", *arguments[3:])
    assert files(out) == files(tmp_path / "whole")
    assert len(os.listdir(out)) == 12 + 3
