"""A tiny run on voices, one on prosody, and their backbones, for tests of what is made of them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from typing import Any

from configs import prosody, speech
from meta_shrink import build, open_workdir, train
from meta_shrink.experiments.export import export_backbone
from tests.speech.samples import prepared_folder, speaker
from tests.tiny_runs import NO_LOG

FRAMES, CONTEXT, HOP = 6, 2, 80
SAMPLES = (FRAMES + CONTEXT) * HOP
RATE = 1.0
PRE_EMPHASIS = 0.5
# One layer of each kind is a speaker's own.
OWN = ("input", "input_skip", "block_03_dilated", "block_04_condition", "block_05_skip")
OWN += ("block_06_residual", "output_1", "output_2")


def exported_voices(tmp_path_factory) -> tuple[str, str]:
    """(workdir, backbone) of ten blocks that hear a pitch period back, after one meta-step.

    Its codes are pre-emphasised.
    """
    return _once(tmp_path_factory, "voices", _voices)


def exported_many(tmp_path_factory) -> tuple[str, str]:
    """As exported_voices, of a network of many voices (SEA), its embedding a speaker's own."""
    return _once(tmp_path_factory, "many", _many)


def exported_prosody(tmp_path_factory) -> tuple[str, str]:
    """(workdir, backbone) of a tiny network of prosody after a short warm start and a meta-step."""
    return _once(tmp_path_factory, "prosody", _prosody)


def _once(tmp_path_factory, name: str, make: Callable[[Any], tuple[str, str]]) -> tuple[str, str]:
    """What several files of tests need takes long: the first of all test processes makes it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = shared / f"{name}.json"
    with open(shared / f"{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            made.write_text(json.dumps(make(tmp_path_factory)))
    workdir, backbone = json.loads(made.read_text())
    return workdir, backbone


def _voices(tmp_path_factory) -> tuple[str, str]:
    return _trained("pitched_sigma_reptile", OWN, tmp_path_factory, PRE_EMPHASIS)


def _many(tmp_path_factory) -> tuple[str, str]:
    return _trained("sea", ("speaker", "block_04_speaker"), tmp_path_factory)


def _trained(
    method: str, own: tuple[str, ...], tmp_path_factory, emphasis: float = 0.0
) -> tuple[str, str]:
    data, workdir = tmp_path_factory.mktemp("voices"), str(tmp_path_factory.mktemp("run"))
    for number, split in enumerate(("train", "train", "test")):
        prepared_folder(data, [speaker(f"s{number}", [20, 33, 12], split, number, emphasis)])
    config = speech.get_config(f"quick_{method}")
    config.task.update({"data_dir": str(data), "crop_frames": FRAMES, "context_frames": CONTEXT})
    config.model.update({"frames": FRAMES + CONTEXT, "samples": SAMPLES})
    config.model.update({"channels": 3, "cycles": 1})
    config.adapt.update({"optimizer": "proximal_gd", "learning_rate": RATE, "steps": 2})
    if method == "sea":
        config.model.speakers = 3
        config.warm_start.update({"steps": 1, "cache": ""})
    else:
        config.prior.sigma2 = 1.0
        config.warm_start.update({"steps": 0, "cache": ""})
        config.train.steps = 1
    config.train.update({"meta_batch_size": 1, "jit": "off"})
    config.eval.groups, config.eval.num_tasks = {}, 1
    with open_workdir(workdir, config.to_dict(), **NO_LOG) as opened:
        train(build(config.to_dict()), opened, **NO_LOG)
    folder = str(tmp_path_factory.mktemp("backbone"))
    export_backbone(workdir, folder, num_tasks=1, modules=own, **NO_LOG)
    return workdir, folder


def _prosody(tmp_path_factory) -> tuple[str, str]:
    data, workdir = tmp_path_factory.mktemp("phones"), str(tmp_path_factory.mktemp("run"))
    for number, split in enumerate(("train", "train", "test")):
        prepared_folder(data, [speaker(f"s{number}", [20, 33, 12], split, number)])
    config = prosody.get_config("sigma_reptile")
    config.task.data_dir = str(data)
    config.model.hidden = [4]
    config.warm_start.update({"steps": 200, "batch_size": 8, "cache": "", "validation_size": 8})
    config.train.update({"steps": 1, "meta_batch_size": 1, "jit": "off"})
    config.eval.num_tasks = 1
    with open_workdir(workdir, config.to_dict(), **NO_LOG) as opened:
        train(build(config.to_dict()), opened, **NO_LOG)
    folder = str(tmp_path_factory.mktemp("prosody"))
    export_backbone(workdir, folder, num_tasks=1, **NO_LOG)
    return workdir, folder
