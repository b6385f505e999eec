"""docs/results/tpu.md, of what was found."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.tpu_proof.measure import Found
from benchmarks.tpu_proof.rows import (
    ALGORITHMS,
    COMPARED,
    EXPERIMENTS,
    OTHERS,
    REPLICAS,
    STEPS,
    TOPOLOGY,
    Row,
    compared,
)

Every = Mapping[Row, Found | None]
MISSING = "–"
HEAD = Path(__file__).with_name("page_head.md")


def page(every: Every) -> str:
    """The page of all rows, None for one that was not tried."""
    tried = [found for found in every.values() if found]
    compiled = sum(found.outcome == "compiled" for found in tried)
    commits = ", ".join(sorted({found.commit for found in tried}))
    text = HEAD.read_text("utf-8").format(
        count=len(tried),
        all=len(every),
        compiled=compiled,
        commits=f"Commits: {commits or 'none'}. {MISSING}: not compiled, see the end.",
    )
    return text + "\n".join(
        [
            _memory(every),
            *(_experiment(every, name) for name in EXPERIMENTS),
            _others(every),
            _rest(every),
        ]
    )


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Markdown, all columns but the first to the right."""
    rule = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join(
        ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(x) + " |" for x in lines), ""]
    )


def _memory(every: Every) -> str:
    pair = ALGORITHMS[:2]
    head = ["temporary MiB", *(f"{name}, {steps}" for name in pair for steps in STEPS)]

    def line(experiment: str) -> list[str]:
        rows = [compared(experiment, name, steps) for name in pair for steps in STEPS]
        return [experiment, *(_mib(every.get(row), "temporary") for row in rows)]

    return (
        "## Memory against adaptation steps\n\nThe paper's argument in bytes: back-propagation "
        "keeps every step, implicit differentiation none. One chip of a v5e, the configs' "
        "meta-batch, at 1, 10 and 100 steps.\n\n" + table(head, map(line, COMPARED))
    )


def _experiment(every: Every, experiment: str) -> str:
    one, many = REPLICAS
    head = ["algorithm", "temporary", "code", "arguments", "GFLOP", "GB", "loops"]
    head += [f"{many} replicas: temporary", "all-reduces"]

    def line(algorithm: str) -> list[str]:
        alone = every.get(Row(experiment, algorithm, TOPOLOGY, one))
        shared = every.get(Row(experiment, algorithm, TOPOLOGY, many))
        return [
            algorithm,
            *(_mib(alone, name) for name in ("temporary", "code", "arguments")),
            *(_number(alone, name, 1e9) for name in ("flops", "bytes")),
            _number(alone, "loops"),
            _mib(shared, "temporary"),
            _number(shared, "all_reduces"),
        ]

    return f"## {experiment}, {TOPOLOGY}\n\n{table(head, map(line, ALGORITHMS))}"


def _others(every: Every) -> str:
    head = [f"{ALGORITHMS[0]}, a replica on each chip"]
    head += [f"{name}: {what}" for name in OTHERS for what in ("temporary", "all-reduces")]

    def line(experiment: str) -> list[str]:
        found = [every.get(Row(experiment, ALGORITHMS[0], *other)) for other in OTHERS.items()]
        cells = [(_mib(one, "temporary"), _number(one, "all_reduces")) for one in found]
        return [experiment, *(cell for pair in cells for cell in pair)]

    return f"## Other topologies\n\n{table(head, map(line, EXPERIMENTS))}"


def _rest(every: Every) -> str:
    failed = [
        f"- `{row.name}`: {found.outcome}"
        for row, found in every.items()
        if found and found.outcome != "compiled"
    ]
    missing = [row.name for row, found in every.items() if found is None]
    lines = ["## What did not compile", "", *(failed or ["Nothing that was tried."]), ""]
    if missing:
        lines += [f"Not tried yet ({len(missing)}): {', '.join(missing)}.", ""]
    return "\n".join(lines)


def _mib(found: Found | None, name: str) -> str:
    return _number(found, name, 2**20)


def _number(found: Found | None, name: str, unit: float = 1) -> str:
    value = found.figures.get(name) if found else None
    if value is None:
        return MISSING
    value /= unit
    return f"{value:,.0f}" if unit == 1 or value >= 100 else f"{value:.3g}"
