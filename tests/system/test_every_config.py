"""Every argument of every config as a user runs it: train, evaluate, report.

Each at its own `jit`, task axis, adaptation and meta-optimizers, for two meta-steps and two
evaluation tasks; only counts are smaller. The arguments are read from the configs themselves: a new
one is run without a word here. Image configs need their data (META_SHRINK_DATA) and skip without.

`make test-programs` runs this; of the image configs it takes one `quick_` setting an algorithm, of
speech one in all; the others, sized for an accelerator or alike, are marked slow.
"""

from __future__ import annotations

import importlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta_shrink import UsageError, default_components
from meta_shrink.experiments.execution import use_xla
from meta_shrink.sections import named
from tests.image_data import published
from tests.speech.samples import prepared_folder, speaker
from tests.system.test_programs import ROOT, run

COUNTS = {
    "train.steps": 2,
    "train.meta_batch_size": 2,
    "train.log_every": 1,
    "train.checkpoint_every": 2,
    "eval.num_tasks": 2,
    "eval.horizon": 1,
    "eval.points": 2,
}
# Warm starts of minutes, evaluations by the hundred, hundreds of steps of 64 filters.
IMAGE_COUNTS = {
    "warm_start.steps": 2,
    "warm_start.cache": "",
    "adapt.steps": 2,
    "eval.steps": 2,
    "eval.group_tasks": 2,
    "eval.validation_tasks": 2,
}
SPEECH_COUNTS = {
    "task.crop_frames": 6,
    "task.context_frames": 2,
    "model.frames": 8,
    "model.samples": 640,
    "warm_start.steps": 2,
    "warm_start.cache": "",
    "adapt.steps": 2,
    "train.steps": 2,
}
PROSODY_COUNTS = {"warm_start.steps": 2, "warm_start.cache": ""}
# Each of forty sets of the 123 modules is traced for seconds.
EVALUATED = {"speech": ["--kinds=all"]}
# From random parameters, eight steps of this rate diverge for every other task.
FEWER_STEPS = {("sinusoid", "maml"): {"adapt.steps": 2}, ("sinusoid", "fomaml"): {"adapt.steps": 2}}
REGIMES = ("", "quick_", "scratch_", "pitched_", "quick_pitched_")


def config_modules() -> list[Any]:
    """Every file of configs/ that is an experiment."""
    names = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
    modules = [importlib.import_module(f"configs.{name}") for name in names if name != "__init__"]
    return [module for module in modules if hasattr(module, "get_config")]


def accepts(module: Any, argument: str) -> bool:
    try:
        module.get_config(argument)
    except UsageError:
        return False
    return True


def arguments_of(module: Any) -> list[tuple[str, str]]:
    """(regime, argument) of a config: ALGORITHMS, or what its refusal of another one lists."""
    if hasattr(module, "ALGORITHMS"):
        return [("", name) for name in module.ALGORITHMS]
    found = []
    for regime in REGIMES:
        with pytest.raises(UsageError) as refused:
            module.get_config(f"{regime}no_such_argument")
        listed = re.findall(r"\w+", str(refused.value).partition("expected one of ")[2])
        found += [(regime, f"{regime}{name}") for name in listed if accepts(module, regime + name)]
    return found


def algorithm_of(config: Any) -> str:
    """What tells the algorithms of one regime apart."""
    return f"{config.algorithm.name}:{sorted(config.meta_optimizer)}"


def cases() -> Iterator[Any]:
    for module in config_modules():
        name, seen = module.__name__.rpartition(".")[2], set()
        for regime, argument in arguments_of(module):
            kind = regime, algorithm_of(module.get_config(argument))
            left_out = not hasattr(module, "ALGORITHMS") and (kind in seen or regime != "quick_")
            left_out |= name == "speech"
            left_out &= argument != "quick_pitched_sigma_reptile"
            seen.add(kind)
            slow = [pytest.mark.slow] if left_out else []
            yield pytest.param(name, argument, marks=slow, id=f"{name}-{argument}")


def data_flags(config: Any, fixture: Any) -> dict[str, Any]:
    """Where the data of a config are; the test of an image config is skipped without them."""
    if "data_dir" not in config.task:
        return {}
    if config.task.name == "image_folder_few_shot":
        return IMAGE_COUNTS | {"task.data_dir": str(published("grocery84"))}
    if config.task.name.startswith("omniglot"):
        return IMAGE_COUNTS | {"task.data_dir": fixture("omniglot_dir")}
    if config.task.name == "arrays":
        return {"task.data_dir": array_files(fixture("tmp_path") / "tasks")}
    if config.task.name in ("speech", "prosody"):
        speakers = [
            speaker(f"s{n}", [20, 30, 12], split, n)
            for n, split in enumerate(("train", "train", "test", "test"))
        ]
        counts = SPEECH_COUNTS if config.task.name == "speech" else PROSODY_COUNTS
        return counts | {"task.data_dir": prepared_folder(fixture("tmp_path"), speakers)}
    pytest.skip(f"no data for tests of the task {config.task.name}")


def compiled(config: Any) -> dict[str, str]:
    """XLA or not, as "auto" decides for the config's own number of meta-steps."""
    model = named("model", default_components().models, config.model.to_dict(), seed=0)
    return {"train.jit": "on" if use_xla(config.train.jit, model, config.train.steps) else "off"}


def array_files(folder: Path) -> str:
    """Ten straight lines, of unequal numbers of points: two of them are for testing."""
    folder.mkdir()
    for number in range(10):
        x = np.linspace(-1, 1, 4 + number)
        np.savez(folder / f"line_{number}.npz", inputs=x, targets=number * x / 10)
    return str(folder)


def test_every_config_and_argument_is_found():
    found = {case.values for case in cases()}
    names = {name for name, _ in found}
    assert {"gaussian_linear", "gaussian_spiral", "sinusoid", "omniglot_few_shot"} <= names
    assert ("gaussian_spiral", "meta_sgd") in found and ("sinusoid", "demo") in found
    assert ("omniglot_few_shot", "quick_20w5s_sigma_maml") in found
    assert ("omniglot_alphabets", "scratch_small_a5_k1_reptile") in found
    assert ("image_folder_few_shot", "mini_5w5s_imaml") in found
    # Each image config has its eight algorithms among those that are not slow.
    quick = [case.values for case in cases() if not case.marks]
    assert sum(name == "omniglot_alphabets" for name, _ in quick) == 8
    assert sum(name == "image_folder_few_shot" for name, _ in quick) == 8


@pytest.mark.parametrize(("name", "argument"), list(cases()))
def test_train_evaluate_report(name, argument, tmp_path: Path, request):
    config = importlib.import_module(f"configs.{name}").get_config(argument)
    counts = COUNTS | compiled(config) | data_flags(config, request.getfixturevalue)
    counts |= FEWER_STEPS.get((name, argument), {})
    flags = [f"--config.{key}={value}" for key, value in counts.items()]
    place = f"--workdir={tmp_path / 'run'}"
    run("train", f"--config=configs/{name}.py:{argument}", place, *flags)
    run("evaluate", place, *EVALUATED.get(name, []))
    run("report", place)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2]
    assert all(row["tasks/nonfinite"] == 0 and math.isfinite(row["nll_val"]) for row in rows)
    evaluation = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert "all modules" in {row["name"] for row in evaluation["schemes"]}
    assert name in EVALUATED or "no adaptation" in {row["name"] for row in evaluation["schemes"]}
    assert all(len(row["mean"]) == len(row["steps"]) > 1 for row in evaluation["schemes"])
    assert (tmp_path / "run/report/index.html").stat().st_size > 1000
