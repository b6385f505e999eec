"""Processes of one job with a copy of one bucket each: the others read what the chief has made."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink import build, open_workdir
from meta_shrink.experiments import resume as resumes
from meta_shrink.experiments.train import set_up
from meta_shrink.remote.mirror import Mirror
from meta_shrink.types import Mixed
from tests.tiny_runs import NO_LOG, tiny_config


class Workers(SimpleNamespace):
    """One process after another: what each gathers is its own."""

    def chief_first(self):
        return contextlib.nullcontext()

    def gather(self, value):
        return np.array([[value]])


def test_a_warm_start_of_the_chief_reaches_the_others(tmp_path, monkeypatch):
    config = tiny_config("reptile", {"warm_start.steps": 3})
    built = build(config)
    mixed = Mixed(lambda key, size: None, lambda size: None)
    experiment = built._replace(source=built.source._replace(mixed=mixed))
    warm = [phi + 7 for phi in experiment.initial.phi]
    monkeypatch.setattr(resumes, "warm_started", lambda *_: warm)
    url, mirrors, found = f"memory://{uuid.uuid4().hex}/run", {}, {}
    for name in ("chief", "other"):  # Both programs have started before the chief makes anything.
        Path(tmp_path, name).mkdir()
        mirrors[name] = Mirror(url, str(tmp_path / name))
        mirrors[name].pull()
    for name, mirror in mirrors.items():
        workers: Any = Workers(is_chief=name == "chief")
        state = set_up(experiment, tf.distribute.get_strategy()).state
        sync = mirror.push if workers.is_chief else mirror.pull
        options = {"is_chief": workers.is_chief, **NO_LOG}
        with open_workdir(mirror.path, experiment.config, **options) as workdir:
            _, start = resumes.resume(experiment, workdir, state, workers, sync, print)
        found[name] = start, state.meta().phi[0].numpy().tolist()
    assert found["chief"] == found["other"] == (0, warm[0].numpy().tolist())
