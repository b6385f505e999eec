"""Pre-training of a network as it is: against Adam by hand, stopped and resumed, kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import DivergedError, Preempted, UsageError, negative_log_likelihood, squared_error
from meta_shrink.models import mlp
from meta_shrink.rng import normal, root_key
from meta_shrink.training.pretraining import Schedule, pretrain
from meta_shrink.training.pretraining_state import MOST_KEPT, wanted_steps
from meta_shrink.types import Mixed

SLOPE = 3.0


def draw(key, size):
    x = normal(key, "test", [size, 1])
    return x, SLOPE * x


MIXED = Mixed(draw, lambda size: draw(tf.constant([7, 7]), size))


def trained(folder: Path, schedule: dict[str, Any], mixed: Mixed = MIXED, **options) -> Any:
    model = mlp(seed=0, inputs=1, hidden=[], outputs=1)
    nll = negative_log_likelihood(model, squared_error())
    made = Schedule(
        **{
            "steps": 30,
            "batch_size": 4,
            "seed": 0,
            "learning_rate": 0.1,
            "validate_every": 10,
            **schedule,
        }
    )
    options = {"log": lambda _: None, "jit": False, **options}
    values = pretrain(
        model, mixed, nll, nll, made, folder=str(folder), metric_name="squared error", **options
    )
    return [value.numpy() for value in values]


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def numbers(folder: Path) -> list[list[float]]:
    """The curve without its clocks."""
    return [[row[key] for key in ("step", "nll_train", "metric")] for row in curve(folder)]


@pytest.mark.parametrize("halve_every", [0, 2])
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_the_steps_are_adam_on_the_drawn_batches(tmp_path, halve_every, clip_norm):
    options = {"steps": 5, "halve_every": halve_every, "clip_norm": clip_norm}
    got = np.ravel(np.concatenate([np.ravel(v) for v in trained(tmp_path, options)]))
    model = mlp(seed=0, inputs=1, hidden=[], outputs=1)
    theta = np.concatenate([np.ravel(v.numpy()) for v in model.trainable_variables]).astype(float)
    first, second = np.zeros(2), np.zeros(2)
    for step in range(5):
        x, y = (v.numpy().ravel() for v in draw(root_key(0, "warm_start", step), 4))
        error = theta[0] * x + theta[1] - y
        gradient = np.array([np.mean(2 * error * x), np.mean(2 * error)])
        if clip_norm:
            gradient *= min(1, clip_norm / np.linalg.norm(gradient))
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        rate = 0.1 * (0.5 ** (step // halve_every) if halve_every else 1)
        moved = first / (1 - 0.9 ** (step + 1))
        theta -= rate * moved / (np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-7)
    assert got == pytest.approx(theta, rel=1e-4)


def test_it_learns_and_the_curve_says_so(tmp_path):
    values = trained(tmp_path, {"steps": 200, "validate_every": 50})
    assert np.ravel(values[0])[0] == pytest.approx(SLOPE, abs=0.05)
    rows = curve(tmp_path)
    assert [row["step"] for row in rows] == [50, 100, 150, 200]
    metrics = [row["metric"] for row in rows]
    assert metrics == sorted(metrics, reverse=True) and metrics[-1] < 0.01 < metrics[0]


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("calls_before_the_stop", [0, 1, 2])
def test_stopped_and_resumed_it_ends_with_the_same_bits(tmp_path, jit, calls_before_the_stop):
    whole = trained(tmp_path / "whole", {"validate_every": 15}, jit=jit)
    asked = iter([False] * calls_before_the_stop + [True])
    wanted = {"validate_every": 15}  # of steps in bursts of 10 and 5
    with pytest.raises(Preempted, match="the same command goes on"):
        trained(tmp_path / "parts", wanted, jit=jit, stop_requested=lambda: next(asked))
    said: list[str] = []
    resumed = trained(tmp_path / "parts", wanted, jit=jit, log=said.append)
    done = [0, 10, 15][calls_before_the_stop]
    assert not done or f"resuming at step {done}." in said[0]  # No step is done twice.
    assert all((a == b).all() for a, b in zip(whole, resumed, strict=True))
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "parts")


def test_more_steps_go_on_and_fewer_are_looked_up(tmp_path):
    said: list[str] = []
    short = trained(tmp_path / "a", {"steps": 20})
    long = trained(tmp_path / "a", {"steps": 30}, log=said.append)
    assert any("resuming at step 20" in line for line in said)
    assert all((x == y).all() for x, y in zip(long, trained(tmp_path / "b", {}), strict=True))
    said.clear()
    assert all(
        (x == y).all()
        for x, y in zip(short, trained(tmp_path / "a", {"steps": 20}, log=said.append), strict=True)
    )
    assert any("done before" in line for line in said)


def test_steps_between_points_that_are_behind_are_refused(tmp_path):
    trained(tmp_path, {})
    with pytest.raises(UsageError, match=r"steps is 15.*gone on to 30.*but at 10, 20, 30: take"):
        trained(tmp_path, {"steps": 15})


def test_a_long_pretraining_keeps_few_parameters_and_those_where_runs_ended(tmp_path):
    """A network of 1.9 M parameters, kept at each of 4,000 points, would take 30 GB."""
    for steps in (7, 40):
        trained(tmp_path, {"steps": steps, "validate_every": 1})
    with open(tmp_path / "curve.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 4\n')  # Of a process that was killed.
    trained(tmp_path, {"steps": 100, "validate_every": 1})
    kept = sorted(int(path.stem[5:]) for path in tmp_path.glob("step_*.npz"))
    assert kept == [7, *range(8, 97, 8), 100]  # 40 is a multiple of 8.
    assert len((tmp_path / "curve.jsonl").read_text().splitlines()) == 101
    for steps in (7, 48, 100):
        alone = trained(tmp_path / "alone" / str(steps), {"steps": steps})
        again = trained(tmp_path, {"steps": steps, "validate_every": 1})
        assert all((x == y).all() for x, y in zip(alone, again, strict=True))


def test_what_is_kept_grows_with_the_logarithm():
    for done in (1, 16, 17, 1_000, 123_456):
        kept = wanted_steps(250 * done, 250, {250})
        assert 250 * done in kept and 250 in kept
        assert len(kept) <= MOST_KEPT + 2
        assert done <= MOST_KEPT or len(kept) >= MOST_KEPT / 2


def test_a_damaged_state_starts_again(tmp_path):
    first = trained(tmp_path, {"steps": 20})
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    said: list[str] = []
    again = trained(tmp_path, {"steps": 20}, log=said.append)
    assert all((x == y).all() for x, y in zip(first, again, strict=True))
    assert "state.npz is damaged or of another network; starting again" in said[0]


def test_a_loss_that_is_not_finite_ends_it(tmp_path):
    nothing = tf.fill([4, 1], np.nan)
    bad = Mixed(lambda key, size: (nothing, nothing), MIXED.validation)
    with pytest.raises(DivergedError, match="not finite at step 10"):
        trained(tmp_path, {}, bad)
    assert not (tmp_path / "state.npz").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"validate_every": 0},
        {"validation_size": 0},
        {"halve_every": -1},
        {"clip_norm": -1.0},
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path, options):
    with pytest.raises(UsageError, match="warm_start got"):
        trained(tmp_path, options)
    assert not list(tmp_path.iterdir())
