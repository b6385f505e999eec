"""The report's figures in TensorBoard, read back by TensorBoard itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from meta_shrink import UsageError
from meta_shrink.reporting import write_report
from tests.reporting_samples import metric_rows, small, write_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workdir(tmp_path) -> Path:
    evaluation = small()
    run = write_run(tmp_path, evaluation, metric_rows(evaluation))
    (run / "tensorboard").mkdir()
    return run


def test_figures_are_those_of_the_report(workdir):
    for _ in range(2):  # A second report replaces the first.
        page = write_report(workdir)
    events = EventAccumulator(str(workdir / "tensorboard" / "report"))
    events.Reload()
    names = events.Tags()["images"]
    assert sorted(names) == sorted(path.stem for path in page.parent.glob("*.png"))
    for name in names:
        (event,) = events.Images(name)
        assert event.encoded_image_string == (page.parent / f"{name}.png").read_bytes()
        assert event.step == small()["meta_step"]
        shape = matplotlib.image.imread(page.parent / f"{name}.png").shape
        assert (event.height, event.width) == shape[:2]


def test_elsewhere_or_without_data_nothing_is_added(workdir, tmp_path):
    write_report(workdir, tmp_path / "elsewhere")
    assert list((workdir / "tensorboard").iterdir()) == []
    (workdir / "tensorboard").rmdir()
    write_report(workdir)
    assert not (workdir / "tensorboard").exists()


@pytest.mark.parametrize("place", ["tensorboard", "tensorboard/report"])
def test_no_link_is_written_through(workdir, tmp_path, place):
    (tmp_path / "elsewhere").mkdir()
    if place == "tensorboard":
        (workdir / "tensorboard").rmdir()
    (workdir / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=place):
        write_report(workdir)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_no_tensorflow_is_needed(workdir):
    code = "import sys; from meta_shrink.reporting import write_report; write_report(sys.argv[1]); "
    code += "sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, workdir], cwd=ROOT, check=True)
