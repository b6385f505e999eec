"""The image and the Kubernetes manifests name programs, flags and addresses that there are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from meta_shrink.errors import (
    EXIT_DATA,
    EXIT_PREEMPTED,
    EXIT_USAGE,
    DiskError,
    InUseError,
    Overloaded,
)
from meta_shrink.training.tf_config import TF_CONFIG
from tests.test_documents import flags_of

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "launch" / "kubernetes"


def objects(name: str) -> dict[str, Any]:
    """Kind -> object."""
    found = list(yaml.safe_load_all((FOLDER / name).read_text()))
    return {one["kind"]: one for one in found}


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (one,) = workload["spec"]["template"]["spec"]["containers"]
    return one


def assert_flags_are_there(program: str, words: list[str]) -> None:
    known = flags_of(f"meta_shrink.programs.{program}")
    names = [word.removeprefix("--").split("=")[0].split(".")[0] for word in words]
    assert known and set(names) <= known, set(names) - known


@pytest.mark.parametrize("index", [0, 1])
def test_each_pod_of_the_training_job_finds_its_place(index, tmp_path, monkeypatch):
    """Its shell is run, with a program that prints what it was given."""
    job, service = objects("train.yaml")["Job"], objects("train.yaml")["Service"]
    pod = container(job)
    program = tmp_path / "meta-shrink"
    program.write_text('#!/bin/sh\necho "$TF_CONFIG"\necho "$@"\n')
    program.chmod(0o755)
    given = {one["name"]: one["value"] for one in pod["env"]}
    environment = os.environ | given | {"JOB_COMPLETION_INDEX": str(index)}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    done = subprocess.run(
        [*pod["command"], *pod["args"]], env=environment, capture_output=True, text=True, check=True
    )
    config, command = done.stdout.splitlines()
    name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    count = job["spec"]["completions"]
    hosts = [f"{job['metadata']['name']}-{pod}.{name}:{port}" for pod in range(count)]
    task = {"type": "worker", "index": index}
    assert json.loads(config) == {"cluster": {"worker": hosts}, "task": task}
    assert job["spec"]["parallelism"] == count == int(given["WORKERS"])
    assert job["spec"]["template"]["spec"]["subdomain"] == name
    program_name, *words = command.split()
    assert program_name == "train" and "--strategy=multi_worker" in words
    assert_flags_are_there("train", words)


def test_a_preempted_pod_comes_back_and_a_wrong_one_does_not():
    rules = objects("train.yaml")["Job"]["spec"]["podFailurePolicy"]["rules"]
    actions = {}
    for rule in rules:
        codes = rule.get("onExitCodes", {"values": []})["values"]
        actions |= dict.fromkeys(codes, rule["action"])
    # Of all codes that a program ends with, those that another try does not change.
    assert actions == {EXIT_PREEMPTED: "Ignore", EXIT_USAGE: "FailJob", EXIT_DATA: "FailJob"}
    later = {error.exit_code for error in (InUseError, DiskError, Overloaded)}
    assert not later & actions.keys()


@pytest.mark.parametrize(("name", "kind"), [("train.yaml", "Job"), ("serve.yaml", "Deployment")])
def test_a_restricted_namespace_takes_the_pods_and_none_may_fill_its_node(name, kind):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards: restricted."""
    workload = objects(name)[kind]
    pod, one = workload["spec"]["template"]["spec"], container(workload)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert one["securityContext"]["allowPrivilegeEscalation"] is False
    assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert one["resources"]["limits"]["memory"] == one["resources"]["requests"]["memory"]


def test_requests_in_flight_have_their_grace():
    workload = objects("serve.yaml")["Deployment"]
    one, spec = container(workload), workload["spec"]["template"]["spec"]
    _, seconds = one["lifecycle"]["preStop"]["exec"]["command"]
    (grace,) = [word.partition("=")[2] for word in one["args"] if word.startswith("--grace_sec")]
    assert int(seconds) + int(grace) < spec["terminationGracePeriodSeconds"]


def test_nothing_scrapes_without_a_token():
    workload = objects("serve.yaml")["Deployment"]
    assert any(word.startswith("--tokens=") for word in container(workload)["args"])
    assert "annotations" not in workload["spec"]["template"]["metadata"]


def test_the_server_is_asked_where_it_listens():
    found = objects("serve.yaml")
    pod = container(found["Deployment"])
    program, *words = pod["args"]
    assert program == "serve"
    assert_flags_are_there("serve", words)
    assert f"--port={pod['ports'][0]['containerPort']}" in words
    assert (
        found["Service"]["spec"]["selector"]
        == found["Deployment"]["spec"]["selector"]["matchLabels"]
    )
    server = (ROOT / "meta_shrink" / "serving").rglob("*.py")
    paths = set(re.findall(r'"(/\w+z)"', "\n".join(path.read_text() for path in server)))
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert pod[probe]["httpGet"]["path"] in paths
    mounted = [mount["mountPath"] for mount in pod["volumeMounts"]]
    for word in words[:3]:
        assert any(word.partition("=")[2].startswith(f"{place}/") for place in mounted), word


@pytest.mark.parametrize(
    ("wheels", "says"),
    [
        ([], "error: dist/ has no wheel meta_shrink-*.whl: make it with pip wheel"),
        (["meta_shrink-0.1.0-py3-none-any.whl"], "'install', '--no-cache-dir', '{0}[cpu,serve]'"),
        (["meta_shrink-0.1.0.whl", "meta_shrink-0.2.0.whl"], "has several wheels ({0} {1}): "),
    ],
)
def test_the_image_has_the_one_wheel_or_says_why_not(wheels, says, tmp_path):
    """The shell of its step, with a pip that prints what it was given."""
    text = (ROOT / "launch" / "Dockerfile").read_text()
    (step,) = re.findall(r"^RUN (.*?[^\\])$", text, re.M | re.S)
    step = step.partition("&& useradd")[0].rstrip("\\\n ").replace("/wheels/", f"{tmp_path}/")
    for name in wheels:
        (tmp_path / name).write_text("")
    pip = f"pip() {{ {sys.executable} -c 'import sys; print(sys.argv[1:])' \"$@\"; }}\n"
    arguments = {"EXTRAS": "cpu,serve", "WHEEL": "meta_shrink-*.whl"}
    done = subprocess.run(
        ["sh", "-c", pip + step], env=os.environ | arguments, capture_output=True, text=True
    )
    assert done.returncode == (0 if len(wheels) == 1 else 2)
    said = done.stdout + done.stderr
    assert says.format(*(f"{tmp_path}/{name}" for name in wheels)) in said
    assert len(said.splitlines()) == 1


def test_the_image_installs_extras_that_there_are():
    text = (ROOT / "launch" / "Dockerfile").read_text()
    setup = (ROOT / "setup.py").read_text()
    (named,) = re.findall(r"^ARG EXTRAS=(\S+)", text, re.M)
    for extra in named.split(","):
        assert f'"{extra}": [' in setup
    assert 'ENTRYPOINT ["meta-shrink"]' in text
    assert TF_CONFIG in (FOLDER / "train.yaml").read_text()
