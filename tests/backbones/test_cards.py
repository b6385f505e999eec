"""The READMEs that exports write: the commands that they name exist, with their flags."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest

from meta_shrink import ArraySpec, Recipe
from meta_shrink.backbones.litert.model_card import litert_card
from meta_shrink.backbones.litert.writing import LiteRTFacts
from meta_shrink.backbones.model_card import card
from tests.adapters.samples import backbone

COMMAND = re.compile(r"meta-shrink ([a-z-]+)((?: +[^\s`]+)*)|python -m ((?:launch|export)\.\w+)")
RECIPES = {
    "labels": Recipe(targets=(ArraySpec("targets", (), "int32"),)),
    "Adam": Recipe(
        optimizer={"name": "proximal_adam"},
        steps=50,
        batch_size=5,
        targets=(ArraySpec("targets", (2,), "float32"),),
    ),
}


def cards() -> dict[str, str]:
    found = {}
    for name, recipe in RECIPES.items():
        info = replace(backbone(), adaptation=recipe)
        found[f"SavedModel, {name}"] = card(info, version=1)
        for examples in (0, 5):
            facts = LiteRTFacts(3000, 1e-4, 1.0, examples, "float16")
            found[f"LiteRT, {name}, {examples}"] = litert_card(info, facts)
    return found


CARDS = cards()


@cache
def help_of(program: str) -> str:
    command = [sys.executable, "-m", "meta_shrink", program, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"no program {program}: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("name", CARDS)
def test_commands_exist(name):
    commands = COMMAND.findall(CARDS[name])
    assert commands
    for program, words, module in commands:
        assert not module, f"{module} is of a checkout; the README is read elsewhere"
        for flag in re.findall(r"--([\w-]+)", words):
            assert re.search(rf"--(\[no\])?{flag}\b", help_of(program)), f"{program} --{flag}"
        help_of(program)


@pytest.mark.parametrize("name", CARDS)
def test_nothing_is_left_to_fill_in(name):
    prose = re.sub(r"```.*?```", "", CARDS[name], flags=re.S)
    assert not re.search(r"\{\w*\}", prose)


def test_the_facts_are_in_it():
    text = CARDS["LiteRT, Adam, 5"]
    assert "takes exactly 5 examples" in text and "with the optimizer's state anew" in text
    assert "num_steps=np.int32(50)" in text and "targets=np.zeros([5, 2], np.float32)" in text
    assert "optimizer's state" not in CARDS["LiteRT, labels, 5"]
    assert "| `adapt` |" in text and "| `adapt` |" not in CARDS["LiteRT, labels, 0"]
    assert "proximal_adam for 50 steps of 5" in CARDS["SavedModel, Adam"]


@pytest.mark.parametrize(("ci95", "cell"), [(0.25, "1.5000 ± 0.2500"), (0.0, "1.5000")])
def test_the_metric_of_a_single_task_has_no_interval(ci95, cell):
    metrics = {"name": "error", "num_tasks": 1, "steps": [5], "mean": [1.5], "ci95": [ci95]}
    assert f"| 5 | {cell} |" in card(replace(backbone(), metrics=metrics), version=1)
