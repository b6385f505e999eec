"""The finding in words, and the tables: the parts of a report that are text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from meta_shrink.reporting.evaluation_file import (
    Estimate,
    at_horizon,
    badness,
    best_of,
    estimate_at,
    gap_below,
    less_everything,
    number,
    of_kind,
    readable_bytes,
    readable_share,
    readable_sigma2,
    sigma2_is_learned,
    title,
    widest_gap,
)
from meta_shrink.reporting.held_out import tasks_of

HEADLINE_NAMES = 70  # characters
SEPARATED = 100  # times, the two orders of magnitude of Section 4.3
SIGMA2_MEANING = (
    "σ² says how far a module's parameters may move from their shared starting point when the "
    "network is adapted to a new task; it is learned from many tasks. A module with a large σ² is "
    "task-specific and gets adapted to each task, a module whose σ² falls to the lowest allowed "
    "value stays the same for all tasks."
)


class Table(NamedTuple):
    """Column titles and rows; `marked` are the rows about task-specific modules."""

    columns: list[str]
    rows: list[list[Any]]
    marked: list[int]


def headline(evaluation: dict[str, Any]) -> str:
    """The finding in plain words: `discovery`, then `outcome`."""
    return f"{discovery(evaluation)} {outcome(evaluation)}".strip()


def outcome(evaluation: dict[str, Any]) -> str:
    """The held-out metric of adapting the modules found, everything, nothing; '' without any."""
    if sigma2_is_learned(evaluation):
        alone = of_kind(evaluation, "selected")
        who = "it" if len(evaluation["selection"]["modules"]) == 1 else "them"
        parts = [f"adapting {who} alone gives" for _ in alone]
    else:
        alone = sorted(of_kind(evaluation, "single"), key=lambda s: badness(evaluation, s))[:1]
        parts = [f"adapting only {s['name']}, the best single choice, gives" for s in alone]
    rest = [scheme for kind in ("all", "none") for scheme in of_kind(evaluation, kind)]
    parts += [f"{_doing(scheme)} gives" for scheme in rest]
    if not parts:
        return ""
    estimates = [at_horizon(evaluation, scheme) for scheme in [*alone, *rest]]
    parts[0] += f" a held-out {evaluation['metric']['name']} of"
    given = [f"{part} {estimate}" for part, estimate in zip(parts, estimates, strict=True)]
    if alone and (difference := less_everything(alone[0])):
        given[0] += f" ({signed(difference)} against adapting everything, task by task)"
    return f"After {estimates[0].step:,} adaptation steps, {'; '.join(given)}."


def _doing(scheme: dict[str, Any]) -> str:
    return "adapting everything" if scheme["kind"] == "all" else "adapting nothing"


def discovery(evaluation: dict[str, Any]) -> str:
    """`Of 6 modules, 2 are task-specific: w0, b0 - 4.6 % of the parameters ...`

    Only a gap between the variances says that (Section 4.3); otherwise the modules adapt because a
    rule chose them.
    """
    total, selection = len(evaluation["modules"]), evaluation["selection"]
    if not sigma2_is_learned(evaluation):
        return f"{title(evaluation)} does not learn which modules are task-specific."
    names = selection["modules"]
    if not names:
        return not_separated(evaluation)
    what = (
        f"{listed(names)} – {readable_share(selection['share'])} of the parameters, "
        f"{readable_bytes(selection['bytes'])} per task."
    )
    gap = gap_below(evaluation)
    if gap >= SEPARATED:
        verb, theirs = ("is", "Its σ² is") if len(names) == 1 else ("are", "Their σ² are")
        return (
            f"Of {total} modules, {len(names)} {verb} task-specific: {what} {theirs} at least "
            f"{gap:,.0f} times that of any other."
        )
    chosen = f"The rule, {selection_rule(evaluation)}, chose {len(names)} of {total} modules"
    if not gap:
        return f"{chosen}: {what}"
    return (
        f"{chosen}: {what} σ² does not separate them: the least of theirs is {gap:.2g} times the "
        f"largest of the others, and {SEPARATED} times would be a finding."
    )


def not_separated(evaluation: dict[str, Any]) -> str:
    """That no module stands out, and by how much the most that do."""
    if len(evaluation["modules"]) == 1:
        return (
            "There is one module, so there is no other σ² to compare its own with: set modules.by "
            "to divide the network."
        )
    return (
        f"The σ² of the {len(evaluation['modules'])} modules are not separated: no rule was met "
        f"({selection_rule(evaluation)}), and the widest gap between neighbours is "
        f"{widest_gap(evaluation):.2g} times. What each size costs in quality is shown instead."
    )


def listed(names: Sequence[str]) -> str:
    """The first names, as far as they fit into a headline, and how many more there are."""
    fitting = [i for i in range(1, len(names) + 1) if len(", ".join(names[:i])) <= HEADLINE_NAMES]
    shown = max(fitting, default=1)
    more = f" and {len(names) - shown} more" if shown < len(names) else ""
    return ", ".join(names[:shown]) + more


def selection_rule(evaluation: dict[str, Any]) -> str:
    """How the task-specific modules were picked (prior.task_specific)."""
    rule, value = evaluation["selection"]["rule"], evaluation["selection"]["value"]
    known = {
        "gap": f"a gap of {value} times between neighbouring σ²",
        "threshold": f"σ² above {value}",
        "relative": f"σ² above {value} times the largest σ²",
        "top_k": f"the {value} largest σ²",
        "max_bytes": f"the largest σ² that fit into {value} bytes",
    }
    return known.get(rule, f"{rule} = {value}")


def beyond_horizon(evaluation: dict[str, Any]) -> str:
    """What happens to `everything adapts` after more steps than meta-training used, or ''."""
    schemes = of_kind(evaluation, "all")
    horizon = evaluation["train_adaptation_steps"]
    if not schemes or schemes[0]["steps"][-1] <= horizon:
        return ""
    last, best = estimate_at(schemes[0], math.inf), best_of(evaluation, schemes[0])
    at_best = (
        ", the best of all steps"
        if best.step == last.step
        else (f"; its best value, {best}, is at step {best.step:,}")
    )
    return (
        f"Meta-training used {horizon:,} adaptation steps. When everything adapts for "
        f"{last.step:,} steps, the {evaluation['metric']['name']} is {last}{at_best}."
    )


def module_table(evaluation: dict[str, Any]) -> Table:
    """One row per module, in network order."""
    modules = evaluation["modules"]
    rows = [
        [
            m["name"],
            m["size"],
            m["share"],
            m["bytes"],
            number(m["sigma2"]),
            "yes" if m["task_specific"] else "no",
        ]
        for m in modules
    ]
    columns = ["module", "parameters", "share", "bytes", "sigma2", "task-specific"]
    return Table(columns, rows, [i for i, m in enumerate(modules) if m["task_specific"]])


def scheme_table(evaluation: dict[str, Any]) -> Table:
    """One row per adaptation scheme: what adapts, and the metric at three moments."""
    sizes = {module["name"]: module["size"] for module in evaluation["modules"]}
    total = max(sum(sizes.values()), 1)
    rows = []
    for scheme in evaluation["schemes"]:
        horizon, best = at_horizon(evaluation, scheme), best_of(evaluation, scheme)
        last, less = estimate_at(scheme, math.inf), less_everything(scheme)
        share = sum(sizes[name] for name in scheme["modules"]) / total
        difference = less[1:] if less else ("", "")
        what = [scheme["name"], len(scheme["modules"]), share, tasks_of(evaluation, scheme)]
        rows.append([*what, *horizon, *best, *last, *difference])
    columns = ["what adapts", "modules", "share", "tasks"]
    for moment in ("horizon", "best", "last"):
        columns += [f"{moment} step", f"{moment} mean", f"{moment} ci95"]
    columns += ["less everything mean", "less everything ci95"]
    chosen = [i for i, s in enumerate(evaluation["schemes"]) if s["kind"] == "selected"]
    return Table(columns, rows, chosen)


def readable_modules(table: Table) -> Table:
    """The module table as a reader wants it."""
    rows = [
        [name, f"{size:,}", readable_share(share), f"{count:,}", readable_sigma2(sigma2), chosen]
        for name, size, share, count, sigma2, chosen in table.rows
    ]
    return Table(["module", "parameters", "share", "bytes", "σ²", "selected"], rows, table.marked)


def readable_schemes(evaluation: dict[str, Any]) -> Table:
    """The scheme table as a reader wants it, with the difference to adapting everything.

    Parts adapted alone may have fewer tasks, and may end earlier than a column says.
    """
    schemes = evaluation["schemes"]
    compared = any(less_everything(scheme) for scheme in schemes)
    counted = len({tasks_of(evaluation, scheme) for scheme in schemes}) > 1
    horizon = max(at_horizon(evaluation, scheme).step for scheme in schemes)
    last = max(scheme["steps"][-1] for scheme in schemes)
    further = last > horizon
    rows = []
    for scheme in schemes:
        best, less = best_of(evaluation, scheme), less_everything(scheme)
        cells = [f"{tasks_of(evaluation, scheme):,}"] if counted else []
        cells += [_after(at_horizon(evaluation, scheme), horizon)]
        cells += [signed(less) if less else ""] if compared else []
        cells += [_after(estimate_at(scheme, math.inf), last)] if further else []
        rows.append([scheme["name"], *cells, f"{best.mean:.3g} (step {best.step:,})"])
    columns = ["what adapts", *(["tasks"] if counted else []), f"after {horizon:,} steps"]
    columns += ["less everything"] if compared else []
    columns += [f"after {last:,} steps"] if further else []
    return Table([*columns, "best mean"], rows, scheme_table(evaluation).marked)


def _after(estimate: Estimate, steps: int) -> str:
    """The estimate in a column of this number of steps, with its own where that is another."""
    return str(estimate) if estimate.step == steps else f"{estimate} (after {estimate.step:,})"


def signed(difference: Estimate) -> str:
    """`+0.0012 ± 0.0040`."""
    return f"{'+' if difference.mean >= 0 else ''}{difference}"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
