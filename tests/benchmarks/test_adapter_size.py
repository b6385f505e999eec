"""The benchmark of adapter sizes measures what is served, and says what it found."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from benchmarks.adapter_size import known, numbers, outputs, write
from benchmarks.adapter_size_measure import Study, study
from benchmarks.adapter_size_output import csv_text, markdown, rows, speed_up
from meta_shrink import Backbone, UsageError, build, open_workdir, save_backbone, train
from meta_shrink.experiments.export import measured
from meta_shrink.experiments.export_source import source_from_workdir
from tests.tiny_runs import NO_LOG, tiny_config

ENCODINGS = ["f32", "int8_delta"]
TASKS = 3


def trained(folder, algorithm: str) -> str:
    config = tiny_config(algorithm, {"train.steps": 2, "train.eval_every": 0})
    with open_workdir(str(folder), config, **NO_LOG) as workdir:
        train(build(config), workdir, **NO_LOG)
    return str(folder)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> str:
    return trained(tmp_path_factory.mktemp("run"), "sigma_reptile")


@pytest.fixture(scope="module")
def found(workdir) -> Study:
    return study(workdir, ks=[1, 9], encodings=ENCODINGS, num_tasks=TASKS)


def test_all_modules_are_served_as_an_export_measures_them(found, workdir, tmp_path):
    source, experiment = source_from_workdir(workdir, rule="top_k", value=99, **NO_LOG)
    save_backbone(source, str(tmp_path))
    metrics = measured(Backbone.load(str(tmp_path)), experiment, TASKS)["metrics"]
    last = [row for row in rows(found) if row.encoding == "f32"][-1]
    assert last.size.modules == experiment.registry.names and last.size.share == 1
    np.testing.assert_allclose(
        [last.mean, last.ci95], [metrics["mean"][-1], metrics["ci95"][-1]], rtol=1e-5
    )
    assert (last.difference, last.difference_ci95, last.within) == (0, 0, True)


def test_sizes_go_from_one_module_to_all(found):
    counts = [len(size.modules) for size in found.sizes]
    assert counts[0] == 1 and counts == sorted(set(counts))
    assert sum(size.chosen for size in found.sizes) == 1
    assert found.sizes[-1].last and speed_up(found, found.sizes[-1]) == 1
    for size in found.sizes:
        assert all(len(size.metric[name]) == TASKS for name in ENCODINGS)
        assert (size.seconds > 0).all()
    small, whole = found.sizes[0].num_bytes["f32"], found.sizes[-1].num_bytes["f32"]
    assert np.median(small) < np.median(whole)


def test_tables_and_figure_are_written(found, tmp_path):
    write(found, str(tmp_path))
    assert (tmp_path / "sizes.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "sizes.md").read_text() == markdown(found)
    lines = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert len(lines) == len(rows(found)) == len(ENCODINGS) * len(found.sizes)
    assert [float(line["mean"]) for line in lines] == pytest.approx(
        [row.mean for row in rows(found)], rel=1e-5
    )


def test_a_run_without_sigma2_is_refused(tmp_path):
    with pytest.raises(UsageError, match="did not learn sigma"):
        study(trained(tmp_path, "maml"), ks=[1], encodings=["f32"], num_tasks=2)


def test_wrong_settings_are_refused():
    for call in (
        lambda: numbers(["1", "0"]),
        lambda: numbers(["x"]),
        lambda: known(["f32", "f8"]),
        lambda: known([]),
        lambda: outputs(["a/run", "b/run"], "out"),
    ):
        with pytest.raises(UsageError):
            call()
    assert outputs(["a/x", "b/y"], "out") == [("a/x", "out/x"), ("b/y", "out/y")]
