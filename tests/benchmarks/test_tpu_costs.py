"""What a TPU would cost: its parts, timed here, and the page of what was found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.tpu_proof.cost_rows import Part, all_parts, part_named
from benchmarks.tpu_proof.costs import programs
from benchmarks.tpu_proof.costs_page import page
from benchmarks.tpu_proof.measure import Found
from benchmarks.tpu_proof.parts import experiment_of, function_of

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {"flops": 6e9, "bytes": 819e6, "seconds": 2e-3, "temporary": 0, "code": 0}
FACTS = {"parameters": 1_000_000, "tasks": 2, "steps": 100, "cg_steps": 2}
COMPILED = Found("abc1234", "compiled", [1.0, 2.0], FIGURES)
TIMED = Found("abc1234", "compiled", [1.0], {"cpu_seconds": 0.02, **FACTS})


def made(part: Part):
    return function_of(part, experiment_of(part))


def found(part: Part) -> Found:
    return TIMED if part.topology == "cpu" else COMPILED


def test_every_part_is_found_by_its_name():
    every = all_parts()
    assert [part_named(part.name) for part in every] == every
    assert programs(every[0], "module", cpu_python="python3")["time"][0] == "python3"
    assert [list(programs(part, "module")) for part in every if part.topology != "cpu"] == [
        ["lower", "compile"] for part in every if part.topology != "cpu"
    ]


def test_a_step_from_phi_goes_along_the_gradient():
    function, given = made(Part("sinusoid"))
    gradient = made(Part("sinusoid", "gradient"))[0](*given)
    rate, sigma2 = (tf.exp(x[0]) for x in (given[0].log_alpha, given[0].log_sigma2))
    for new, old, slope in zip(function(*given), given[0].phi, gradient, strict=True):
        moved = rate / (1 + rate / sigma2) * slope  # Algorithm 2
        np.testing.assert_allclose(new, old - moved, rtol=1e-4, atol=1e-7)


def test_a_product_is_the_difference_of_gradients():
    product, (meta, pair) = made(Part("sinusoid", "product"))
    gradient = made(Part("sinusoid", "gradient"))[0]
    near = [gradient(meta._replace(phi=[x * s for x in meta.phi]), pair) for s in (1.001, 0.999)]
    for found, up, down in zip(product(meta, pair), *near, strict=True):
        np.testing.assert_allclose(found, (up - down) / 0.002, rtol=0.05, atol=2e-3)


def test_tasks_as_one_batch_have_the_gradients_of_each():
    one, (meta, pair) = made(Part("sinusoid", "gradient"))
    many, (_, pairs) = made(Part("sinusoid", "gradient", tasks=4))
    for single, batched in zip(one(meta, pair), many(meta, pairs), strict=True):
        assert batched.shape[0] == 4
        np.testing.assert_allclose(single, batched[0], rtol=1e-4, atol=1e-6)


def test_larger_mini_batches_are_larger():
    _, (_, (task, batch)) = made(Part("sinusoid", times=4))
    assert len(task.train[0]) == len(batch[0]) == 40


def test_a_part_is_timed_on_this_machine():
    command = programs(Part("sinusoid", topology="cpu"), "", cpu_python=sys.executable)["time"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
    assert told.pop("cpu_seconds") > 0
    assert told == {"parameters": 1761, "tasks": 5, "steps": 100, "cg_steps": 5}


def test_no_tensorflow_is_loaded_but_by_the_parts():
    """The tensorflow-tpu wheel asks for its hardware for minutes when it is."""
    text = "import sys, benchmarks.tpu_proof.costs; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", text], check=True, cwd=ROOT)


def test_the_page_has_the_roofline_and_what_meta_steps_cost():
    text = page({part: found(part) for part in all_parts()})
    # 6 GFLOP in 6 passes at 197 TFLOP/s, or 819 MB at 819 GB/s.
    assert "| sinusoid | step | 6 | 819 | 2e+03 | 9.1% | 1e+03 (bytes) |" in text
    (line,) = re.findall(r"\| speech \| v5e-8 \|.*", text)
    cells = [cell.strip() for cell in line.split("|")[3:-1]]
    # 8 tasks, one a chip: 100 steps of 2 ms, 4 products of 2 ms; 8 MB over 400 GB/s and 4 hops.
    assert cells[:4] == ["8", "200", "8", "24"]
    assert cells[5:] == ["8,000", "0.46", "4.44"]


def test_without_seconds_a_meta_step_is_at_the_limit_of_what_was_counted():
    every: dict[Part, Found | None] = {part: found(part) for part in all_parts()}
    broken = Found("abc1234", "compiled", [1.0], FIGURES | {"seconds": -92.9})
    every |= {
        part: None for part in every if part.experiment == "speech" and part.topology != "cpu"
    }
    every |= {Part("speech", part, precision="default"): broken for part in ("step", "product")}
    text = page(every)
    # 819 MB at 819 GB/s is 1 ms a step; at 2,765 GB/s 0.296.
    assert "| speech | v5e-8 | 8 | 100 | 4 |" in text
    assert "| speech | v5p-256 | 128 | 29.6 | 1.18 |" in text
    assert "| speech | step | 6 | 819 | – | – | 1e+03 (bytes) | – | – |" in text


def test_the_page_says_what_is_missing():
    every: dict[Part, Found | None] = dict.fromkeys(all_parts())
    every[Part("sinusoid")] = Found("abc", "failed (lower, exit 1): no", [1.0], {})
    text = page(every)
    assert "- `sinusoid-step-v5e:2x2-1-1-float32`: failed (lower, exit 1): no" in text


@pytest.mark.parametrize("name", ["sinusoid", "nothing-step"])
def test_a_wrong_name_is_an_error(name):
    with pytest.raises(ValueError, match="unpack"):
        part_named(name)
