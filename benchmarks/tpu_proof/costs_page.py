"""docs/results/tpu_costs.md, of what was found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.tpu_proof.cost_rows import CPU, EXPERIMENTS, PARTS, V5E, V5P, Part
from benchmarks.tpu_proof.measure import Found
from benchmarks.tpu_proof.page import MISSING, table

Every = Mapping[Part, Found | None]
HEAD = Path(__file__).with_name("costs_head.md")


class Chip(NamedTuple):
    """Published figures of a chip: FLOP/s of bfloat16 (TPU) or float32 products (H100), bytes/s of
    its memory and of its links to others, dollars an hour (list price on demand; they change)."""

    flops: float
    memory: float
    links: float = 0.0
    dollars: float = 0.0


CHIPS = {
    V5E: Chip(197e12, 819e9, 400e9, 1.20),
    V5P: Chip(459e12, 2765e9, 1200e9, 4.20),
    "H100": Chip(67e12, 3.35e12),
}
# A product of float32 numbers is made of so many of bfloat16 (operand_precision "highest").
PASSES = 6


class Slice(NamedTuple):
    """Chips that work together, and the longest way between two of them in hops."""

    topology: str
    chips: int
    hops: int


SLICES = {
    "v5e-8": Slice(V5E, 8, 4),
    "v5e-64": Slice(V5E, 64, 8),
    "v5p-256": Slice(V5P, 128, 10),  # Named after its cores, two a chip.
}
HOP = 1e-6  # seconds, assumed
# Of the paper: sinusoid as the configs have it, App. E.1, App. E.2.
META_STEPS = {"sinusoid": 60_000, "omniglot_alphabets": 5_000, "speech": 8_000}


def page(every: Every) -> str:
    """The page of all parts, None for one that was not measured."""
    found = [one for one in every.values() if one]
    commits = ", ".join(sorted({one.commit for one in found})) or "none"
    failed = [
        f"- `{part.name}`: {one.outcome}"
        for part, one in every.items()
        if one and one.outcome != "compiled"
    ]
    return "\n".join(
        [
            HEAD.read_text("utf-8").format(passes=PASSES, commits=commits),
            _parts(every),
            _more(every),
            _meta_steps(every),
            *(["## What did not compile", "", *failed, ""] if failed else []),
        ]
    )


def _parts(every: Every) -> str:
    head = ["experiment", "part", "GFLOP", "MB", "v5e, µs", "share of peak", "limit of v5e, µs"]
    head += ["the same, TPU's default precision, µs", "v5p, µs", "limit of an H100, µs"]
    head += ["this CPU, ms"]
    lines = []
    for name in EXPERIMENTS:
        for part in PARTS:
            own = _counted(every, Part(name, part))
            lines.append(
                [
                    name,
                    part,
                    _shown(own, "flops", 1e9),
                    _shown(own, "bytes", 1e6),
                    _shown(every.get(Part(name, part)), "seconds", 1e-6),
                    _share(every.get(Part(name, part))),
                    _limit(own, CHIPS[V5E], PASSES),
                    _shown(every.get(Part(name, part, precision="default")), "seconds", 1e-6),
                    _shown(every.get(Part(name, part, V5P)), "seconds", 1e-6),
                    _limit(own, CHIPS["H100"]),
                    _shown(every.get(Part(name, part, CPU)), "cpu_seconds", 1e-3),
                ]
            )
    return "## The parts\n\n" + table(head, lines)


def _more(every: Every) -> str:
    rows = [part for part in every if part.tasks > 1 or part.times > 1]
    head = ["experiment", "gradient of", "GFLOP", "MB", "v5e, µs", "share of peak", "gain"]
    lines = []
    for part in rows:
        found, alone = every[part], every.get(part._replace(tasks=1, times=1))
        if not found:
            continue
        seconds, one = _figure(found, "seconds"), _figure(alone, "seconds")
        count = part.tasks * part.times
        what = f"{part.tasks} tasks" if part.tasks > 1 else f"{part.times} times the mini-batch"
        lines.append(
            [
                part.experiment,
                what,
                _shown(found, "flops", 1e9),
                _shown(found, "bytes", 1e6),
                _shown(found, "seconds", 1e-6),
                _share(found),
                f"{count * one / seconds:.2f}" if seconds and one else MISSING,
            ]
        )
    return (
        "## What fills a chip\n\nSeveral tasks as one batch (`tf.vectorized_map`), and larger "
        "mini-batches, on a v5e. Gain: the time of as many one by one over this.\n\n"
        + table(head, lines)
    )


def _meta_steps(every: Every) -> str:
    head = ["experiment", "slice", "tasks a meta-step", "adaptation, ms", "solve, ms"]
    head += ["all-reduce, µs", "share", "meta-steps", "hours", "dollars"]
    lines = []
    for name in EXPERIMENTS:
        for label, where in SLICES.items():
            lines.append([name, label, *_meta_step(every, name, where)])
    return (
        "## Whole meta-steps\n\nThe configs' meta-batch, rounded up to a task a chip, as the "
        "paper's is smaller than most slices. Adaptation: steps of each task of a chip, one after "
        "another; solve: its Hessian products, and two for the gradients beside it. All-reduce: "
        "a ring's bytes over the links, and a microsecond a hop. Without what the host takes to "
        "start a meta-step, which nobody could measure here and which decides for the sinusoid. "
        "Where the cost model has no seconds (speech), from the limits of what it counts.\n\n"
        + table(head, lines)
    )


def _meta_step(every: Every, name: str, where: Slice) -> list[str]:
    facts = every.get(Part(name, "gradient", CPU))
    step, product = (
        _seconds(every, Part(name, part, where.topology)) for part in ("step", "product")
    )
    if not (step and product and facts and facts.figures):
        return [MISSING] * 8
    share = -(-facts.figures["tasks"] // where.chips)
    adaptation = share * facts.figures["steps"] * step
    solve = share * (facts.figures["cg_steps"] + 2) * product
    reduce = 2 * 4 * facts.figures["parameters"] / CHIPS[where.topology].links + where.hops * HOP
    total = adaptation + solve + reduce
    hours = META_STEPS[name] * total / 3600
    return [
        f"{share * where.chips}",
        f"{1e3 * adaptation:.3g}",
        f"{1e3 * solve:.3g}",
        f"{1e6 * reduce:.3g}",
        f"{reduce / total:.2%}",
        f"{META_STEPS[name]:,}",
        f"{hours:.2g}",
        f"{hours * where.chips * CHIPS[where.topology].dollars:.3g}",
    ]


def _seconds(every: Every, part: Part) -> float:
    """By the cost model; where that has no number, the limit of a count made for another chip or
    precision; 0 without one."""
    known = _figure(every.get(part), "seconds")
    if known and known > 0:
        return known
    counted = _counted(every, part)
    return _least(counted, CHIPS[part.topology], PASSES)[0] if counted else 0.0


def _counted(every: Every, part: Part) -> Found | None:
    """The row of a part on a v5e that has its operations and bytes, in the precision that has."""
    rows = (every.get(part._replace(topology=V5E, precision=how)) for how in ("float32", "default"))
    return next((found for found in rows if _figure(found, "bytes")), None)


def _figure(found: Found | None, name: str) -> Any:
    return found.figures.get(name) if found else None


def _shown(found: Found | None, name: str, unit: float) -> str:
    value = _figure(found, name)
    # The cost model has had negative seconds.
    return MISSING if value is None or value < 0 else f"{value / unit:.3g}"


def _share(found: Found | None) -> str:
    """Of the peak of a v5e's products that a part reaches, were the cost model right."""
    seconds = _figure(found, "seconds")
    if not seconds or seconds < 0:
        return MISSING
    return f"{PASSES * _figure(found, 'flops') / seconds / CHIPS[V5E].flops:.1%}"


def _limit(found: Found | None, chip: Chip, passes: int = 1) -> str:
    if not _figure(found, "bytes"):
        return MISSING
    seconds, what = _least(found, chip, passes)
    return f"{1e6 * seconds:.3g} ({what})"


def _least(found: Found | None, chip: Chip, passes: int) -> tuple[float, str]:
    """The roofline: what is more, its operations at the chip's peak or its bytes."""
    computing = passes * _figure(found, "flops") / chip.flops
    moving = _figure(found, "bytes") / chip.memory
    return (computing, "products") if computing > moving else (moving, "bytes")
