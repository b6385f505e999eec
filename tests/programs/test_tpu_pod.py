"""launch/tpu_pod.sh: the gcloud commands that it prints are those that it runs; its refusals."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "launch" / "tpu_pod.sh"
ZONE = "--zone=us-west4-a"
DISK = "projects/p/zones/us-west4-a/disks/runs"
RESUME = ["resume", "mine", ZONE, f"--disk={DISK}"]
TRAIN = ["--", "--config=configs/sinusoid.py:sigma_reptile", "--workdir=disk/a run"]
SSH = f"gcloud compute tpus tpu-vm ssh mine --worker={{}} --command={{}} {ZONE}"


def script(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], capture_output=True, text=True, check=False, **options
    )


def commands(*arguments: str) -> list[list[str]]:
    """What --dry_run prints, as the words of each command."""
    done = script("--dry_run", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def gcloud(line: str) -> list[str]:
    return ["gcloud", "compute", "tpus", *line.split(), ZONE]


def test_create_and_queue():
    wanted = "tpu-vm create mine --accelerator-type=v5litepod-8 --version=v2-alpha-tpuv5-lite"
    flags = ["mine", ZONE, "--type=v5litepod-8"]
    assert commands("create", *flags) == [gcloud(wanted)]
    more = f"--spot --data-disk=source={DISK},mode=read-write"
    assert commands("create", *flags, "--spot", f"--disk={DISK}") == [gcloud(f"{wanted} {more}")]
    (queued,) = commands("queue", *flags, "--spot")
    assert queued[:6] == ["gcloud", "compute", "tpus", "queued-resources", "create", "mine"]
    assert set(queued[6:]) == {
        "--node-id=mine",
        ZONE,
        "--accelerator-type=v5litepod-8",
        "--runtime-version=v2-alpha-tpuv5-lite",
        "--spot",
    }


def test_the_wheel_goes_to_every_host():
    copy, install = commands("install", "mine", ZONE, "--wheel=dist/a.whl")
    assert copy == gcloud("tpu-vm scp dist/a.whl mine: --worker=all")
    assert install[6] == "--worker=all"
    assert "pip install -q './a.whl[tpu,report]'" in install[7]
    # Without it pip keeps a wheel of the same version, quietly.
    assert install[7].endswith("pip install -q --force-reinstall --no-deps ./a.whl")


@pytest.mark.parametrize(
    ("runtime", "holds"),
    [
        ([], "fi; nohup meta_shrink/bin/meta-shrink train --strategy=tpu --tpu=local "),
        (["--runtime=an-image"], "fi; TPU_LOAD_LIBRARY=0 nohup meta_shrink/bin/meta-shrink train "),
    ],
)
def test_one_program_is_started_with_the_arguments_as_they_are(runtime, holds):
    (start,) = commands("start", "mine", ZONE, *runtime, *TRAIN)
    assert start[:7] == SSH.format(0, "").split()[:7]
    remote = start[7].removeprefix("--command=")
    assert holds in remote
    words = shlex.split(remote)
    assert words[words.index(TRAIN[1]) + 1] == TRAIN[2]
    assert f"--tpu={'mine' if runtime else 'local'}" in words


def test_logs_stop_state_and_delete():
    for verb, command in (
        ("logs", "tail -n 50 -F meta_shrink.log"),
        ("stop", "pkill -TERM -F meta_shrink.pid"),
    ):
        (line,) = commands(verb, "mine", ZONE)
        assert line[5:7] == ["mine", "--worker=0"] and command in line[7]
    assert commands("state", "mine", ZONE) == [gcloud("tpu-vm describe mine --format=value(state)")]
    assert commands("delete", "mine", ZONE) == [gcloud("tpu-vm delete mine --quiet")]
    (queued,) = commands("delete", "mine", ZONE, "--queued")
    assert queued[3:6] == ["queued-resources", "delete", "mine"] and "--force" in queued


def fake_gcloud(folder: Path, state: str) -> dict[str, str]:
    """An environment in which gcloud writes what it is called with, and tells this state.

    Where that is empty it fails.
    """
    program = folder / "gcloud"
    called = shlex.quote(str(folder / "called"))
    program.write_text(
        f'#!/usr/bin/env bash\nprintf "%q " gcloud "$@" >> {called}\necho >> {called}\n'
        f"[[ $4 != list ]] || printf '%s\\t%s\\n' mine2 READY mine {state}\n[[ -n '{state}' ]]\n"
    )
    program.chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}


def resume(folder: Path, state: str) -> tuple[subprocess.CompletedProcess, list[list[str]], list]:
    """What `resume` did, the commands that it ran, and those that it prints."""
    (folder / "a.whl").write_text("")
    flags = [ZONE, "--type=v6e-8", "--spot", f"--disk={DISK}", f"--wheel={folder / 'a.whl'}"]
    done = script("resume", "mine", *flags, *TRAIN, env=fake_gcloud(folder, state))
    called = [shlex.split(line) for line in (folder / "called").read_text().splitlines()]
    return done, called, commands("resume", "mine", *flags, *TRAIN)


@pytest.mark.parametrize("state", ["READY", "PREEMPTED", "TERMINATED"])
def test_resume_makes_anew_what_was_taken_and_runs_what_it_prints(state, tmp_path):
    done, called, printed = resume(tmp_path, state)
    assert done.returncode == 0, done.stderr
    assert [line[4] for line in printed] == ["delete", "create", "scp", "ssh", "ssh", "ssh"]
    assert called[0][4] == "list"
    assert called[1:] == (printed[-1:] if state == "READY" else printed)
    # A host that was restarted has lost its mount.
    assert printed[-1][7].startswith("--command={ mkdir -p disk && { mountpoint -q disk || ")


@pytest.mark.parametrize("state", ["REPAIRING", "CREATING", ""])
def test_resume_deletes_none_that_may_be_running(state, tmp_path):
    """One that is being repaired, and one whose state gcloud could not tell."""
    done, called, _ = resume(tmp_path, state)
    assert done.returncode == 2
    assert ("mine is " + state if state else "does not tell the state of mine") in done.stderr
    assert [line[4] for line in called] == ["list"]


def test_a_run_is_started_once_and_stopped_once(tmp_path):
    """What ssh would run, with a program that waits."""
    bin_folder = tmp_path / "meta_shrink" / "bin"
    bin_folder.mkdir(parents=True)
    program = bin_folder / "meta-shrink"
    program.write_text('#!/bin/bash\necho "$@"\nexec -a "$0 $1" sleep 60\n')
    program.chmod(0o755)
    odd = """--workdir=a "b" 'c' $HOME `id` \\ ü * ; #"""

    def remote(*arguments: str) -> subprocess.CompletedProcess:
        (line,) = commands(*arguments)
        command = ["bash", "-c", line[7].removeprefix("--command=")]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    start = ("start", "mine", ZONE, "--", odd)
    assert remote("stop", "mine", ZONE).returncode == 1
    assert remote(*start).returncode == 0
    pid = (tmp_path / "meta_shrink.pid").read_text()
    while not (tmp_path / "meta_shrink.log").read_text():
        time.sleep(0.01)
    again = remote(*start)
    assert (again.returncode, again.stderr.count("a run is going on there")) == (2, 1)
    assert (tmp_path / "meta_shrink.pid").read_text() == pid
    assert remote("stop", "mine", ZONE).returncode == 0
    assert (tmp_path / "meta_shrink.log").read_text() == f"train --strategy=tpu --tpu=local {odd}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["paint", "mine", ZONE], "the first argument is 'paint'"),
        (["create", "Mine", ZONE], "create needs the name of a TPU"),
        (["create", "mine"], "create needs --zone=..."),
        (["create", "mine", ZONE], "create needs --type=..."),
        (["create", "mine", ZONE, "--type=h100-8"], "--type=h100-8 is not known"),
        (["create", "mine", ZONE, "--type=v5litepod-64"], "--type=v5litepod-64 has several hosts"),
        (["create", "mine", ZONE, "--colour=red"], "unknown flag --colour=red"),
        (["create", "mine", "yours", ZONE], "unexpected argument yours"),
        (["create", "mine", ZONE, "--type=v6e-8", *TRAIN], "create takes no flags of meta-shrink"),
        (["install", "mine", ZONE], "install needs --wheel=..."),
        (["install", "mine", ZONE, "--wheel=absent.whl"], "--wheel=absent.whl does not exist"),
        (["install", "mine", ZONE, "--wheel=it's.whl"], "--wheel=it's.whl is no name of a wheel"),
        (["install", "mine", ZONE, "--wheel=a.whl/"], "is no name of a wheel"),
        (
            ["--dry_run", "install", "mine", ZONE, "--wheel=a.whl", "--python=x;y"],
            "--python=x;y is",
        ),
        (["start", "mine", ZONE], "start needs -- and the flags"),
        # What a command would pass over.
        (["start", "mine", ZONE, "--type=v6e-8", *TRAIN], "start takes no --type"),
        (["logs", "mine", ZONE, "--spot"], "logs takes no --spot"),
        (["resume", "mine", ZONE, "--queued", *TRAIN], "resume takes no --queued"),
        (["create", "mine", ZONE, "--type=v6e-8", "--disk="], "--disk= is empty"),
        (["create", "mine", "--zone="], "--zone= is empty"),
        (["create", "mine", ZONE, "--type=v6e-08"], "has no number of chips"),
        (["create", "m" * 64, ZONE], "create needs the name of a TPU, of at most 63"),
        # Nothing is deleted for a resume that cannot be.
        ([*RESUME, "--type=v6e", "--wheel=a.whl", *TRAIN], "--type=v6e is not known"),
        ([*RESUME, "--type=v6e-8", "--wheel=absent.whl", *TRAIN], "absent.whl does not exist"),
        (["resume", "mine", ZONE, "--type=v6e-8", "--wheel=a.whl", *TRAIN], "needs --disk=..."),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_called(arguments, sentence, tmp_path):
    done = script(*arguments, env=fake_gcloud(tmp_path, "PREEMPTED"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and sentence in done.stderr
    assert not (tmp_path / "called").exists()
