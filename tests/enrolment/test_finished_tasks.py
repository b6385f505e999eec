"""tasks.json, index.json and the lines between: little is written, nothing is lost."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from meta_shrink import ArtefactError
from meta_shrink.durable_files import write_atomically
from meta_shrink.enrolment import finished_tasks
from meta_shrink.enrolment.finished_tasks import FinishedTasks


def row(number: int) -> dict:
    adapter = hashlib.sha256(str(number).encode()).hexdigest()
    return {"adapter": adapter, "settings": f"s{number}", "metric": {"1": 0.5}}


def name(number: int) -> str:
    return f"task_{number:04}"


def files(folder) -> tuple[dict, dict]:
    return tuple(json.loads((folder / f).read_text()) for f in ("tasks.json", "index.json"))


@pytest.mark.parametrize("count", [1, 2, 3, 10, 300])
def test_all_are_there_at_the_end(count, tmp_path):
    with FinishedTasks(str(tmp_path)) as done:
        for number in range(count):
            done.add(name(number), row(number))
    tasks, index = files(tmp_path)
    assert tasks == {name(n): row(n) for n in range(count)}
    assert index == {name(n): row(n)["adapter"] for n in range(count)}
    assert sorted(os.listdir(tmp_path)) == ["index.json", "tasks.json"]


@pytest.mark.parametrize("runs", [1, 5])
def test_little_is_written(runs, tmp_path, monkeypatch):
    """Of 1,000 tasks less than five times the files, in one run or in a few."""
    written = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(
        finished_tasks,
        "write_atomically",
        lambda path, content: (written.append(len(content)), write_atomically(path, content)),
    )
    append = finished_tasks.append_whole
    monkeypatch.setattr(
        finished_tasks,
        "append_whole",
        lambda path, line, **how: (written.append(len(line)), append(path, line, **how)),
    )
    for run in range(runs):
        with FinishedTasks(str(tmp_path)) as done:
            for number in range(run * 1000 // runs, (run + 1) * 1000 // runs):
                done.add(name(number), row(number))
    size = sum((tmp_path / file).stat().st_size for file in ("tasks.json", "index.json"))
    assert sum(written) < 5 * size
    assert len(files(tmp_path)[0]) == 1000


@pytest.mark.parametrize("count", [1, 2, 5, 7, 100])
def test_a_killed_run_loses_none(count, tmp_path):
    """It never comes to the end of the `with`."""
    done = FinishedTasks(str(tmp_path))
    for number in range(count):
        done.add(name(number), row(number))
    again = FinishedTasks(str(tmp_path))
    assert again.rows == {name(n): row(n) for n in range(count)}
    again.add(name(0), row(1000))  # Done again: the later one counts.
    assert FinishedTasks(str(tmp_path)).rows[name(0)] == row(1000)


def test_an_index_that_is_gone_is_written_again(tmp_path):
    with FinishedTasks(str(tmp_path)) as done:
        done.add(name(0), row(0))
    (tmp_path / "index.json").unlink()
    with FinishedTasks(str(tmp_path)):
        pass
    assert files(tmp_path)[1] == {name(0): row(0)["adapter"]}


@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.write_text('{"best": "a",}')])
def test_a_damaged_index_is_refused_and_stays(put, tmp_path):
    """It may name adapters that tasks.json does not."""
    with FinishedTasks(str(tmp_path)) as done:
        done.add(name(0), row(0))
    (tmp_path / "index.json").unlink()
    put(tmp_path / "index.json")
    with pytest.raises(ArtefactError, match=r"index\.json.*Without it, the aliases of tasks\.json"):
        FinishedTasks(str(tmp_path))


@pytest.mark.parametrize("is_killed", [False, True])
def test_an_alias_that_was_taken_away_or_changed_stays_so(is_killed, tmp_path):
    with FinishedTasks(str(tmp_path)) as done:
        for number in range(6):
            done.add(name(number), row(number))
    kept = {name(0): row(7)["adapter"], name(2): row(2)["adapter"]}
    (tmp_path / "index.json").write_text(json.dumps(kept))
    done = FinishedTasks(str(tmp_path))
    done.add(name(8), row(8))
    if is_killed:
        done = FinishedTasks(str(tmp_path))
    done.save()
    tasks, index = files(tmp_path)
    assert index == kept | {name(8): row(8)["adapter"]} and len(tasks) == 7
    # A task that is adapted again has its alias again.
    with FinishedTasks(str(tmp_path)) as done:
        done.add(name(1), row(9))
    assert files(tmp_path)[1] == index | {name(1): row(9)["adapter"]}


def test_an_index_that_was_edited_stays(tmp_path):
    with FinishedTasks(str(tmp_path)) as done:
        done.add(name(0), row(0))
    edited = {name(0): row(1)["adapter"], "best": row(0)["adapter"]}
    (tmp_path / "index.json").write_text(json.dumps(edited))
    with FinishedTasks(str(tmp_path)):
        pass
    assert files(tmp_path)[1] == edited


def test_aliases_that_somebody_added_stay(tmp_path):
    """Of tasks.json that is gone, too: its adapters are served still."""
    with FinishedTasks(str(tmp_path)) as done:
        done.add(name(0), row(0))
    (tmp_path / "tasks.json").unlink()
    with FinishedTasks(str(tmp_path)) as done:
        done.add(name(1), row(1))
    assert files(tmp_path)[0] == {name(1): row(1)}
    assert files(tmp_path)[1] == {name(n): row(n)["adapter"] for n in range(2)}


def test_a_torn_line_is_left_out(tmp_path):
    done = FinishedTasks(str(tmp_path))
    for number in range(8):
        done.add(name(number), row(number))
    for number in range(8, 11):
        done.add(name(number), row(number))
    lines = (tmp_path / "tasks.jsonl").read_bytes()
    whole = lines.count(b"\n")
    assert whole == 3
    for cut in range(len(lines)):
        (tmp_path / "tasks.jsonl").write_bytes(lines[:cut])
        kept = lines[:cut].count(b"\n")
        assert len(FinishedTasks(str(tmp_path)).rows) == 8 + kept


def test_the_files_are_up_to_date_after_an_error(tmp_path):
    with pytest.raises(KeyError), FinishedTasks(str(tmp_path)) as done:
        for number in range(11):
            done.add(name(number), row(number))
        raise KeyError
    assert len(files(tmp_path)[0]) == 11


def test_a_full_disk_keeps_whole_lines(tmp_path, monkeypatch):
    done = FinishedTasks(str(tmp_path))
    for number in range(11):
        done.add(name(number), row(number))
    whole = (tmp_path / "tasks.jsonl").read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        done.add(name(11), row(11))
    assert (tmp_path / "tasks.jsonl").read_bytes() == whole


DAMAGED = [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a": 3}', b'{"a": {"adapter": "x"}}']
DAMAGED += [b'{"a": {"adapter": "' + b"0" * 64 + b'", "settings": 3}}']


@pytest.mark.parametrize("text", DAMAGED)
def test_damaged_files(text, tmp_path):
    (tmp_path / "tasks.json").write_bytes(text)
    with pytest.raises(ArtefactError, match="remove it"):
        FinishedTasks(str(tmp_path))


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / "victim").write_bytes(b"x")
    (tmp_path / "tasks.jsonl").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        FinishedTasks(str(tmp_path)).add(name(0), row(0))
    assert (tmp_path / "victim").read_bytes() == b"x"
