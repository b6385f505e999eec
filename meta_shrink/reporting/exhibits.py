"""What the report shows, in order: each figure with its heading, its caption and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from meta_shrink.reporting import figures, wording
from meta_shrink.reporting.evaluation_file import (
    at_horizon,
    keys_with,
    number,
    of_kind,
    readable_sigma2,
    sigma2_is_learned,
    title,
)
from meta_shrink.reporting.held_out import held_out_tasks, listed_numbers, task_counts
from meta_shrink.reporting.size_quality import COLUMNS, size_quality_curve, size_quality_rows
from meta_shrink.reporting.style import BEYOND


class Exhibit(NamedTuple):
    """One figure of the report and the numbers it shows; without a figure, the caption says why.

    An exhibit with neither (an empty caption) is not for this run, and the page leaves it out.
    """

    stem: str
    heading: str
    caption: str
    figure: Figure | None = None
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()


def all_exhibits(evaluation: dict[str, Any], metrics: Sequence[dict[str, Any]]) -> list[Exhibit]:
    """The figures in the order of the page."""
    return [
        _sigma2(evaluation),
        _size_quality(evaluation),
        _singles(evaluation),
        _adaptation(evaluation),
        _learning(evaluation, metrics),
        _parameter_error(evaluation),
        _examples(evaluation),
    ]


def _sigma2(evaluation: dict[str, Any]) -> Exhibit:
    stem, heading = "sigma2", "Which modules are task-specific?"
    if not sigma2_is_learned(evaluation):
        values = {readable_sigma2(number(m["sigma2"])) for m in evaluation["modules"]}
        reason = (
            f"{title(evaluation)} cannot tell: it does not learn σ², the number that says how far "
            f"each module may move, so there is nothing to draw. σ² is fixed at "
            f"{', '.join(sorted(values))}. The algorithms with a σ in their name learn it."
        )
        return Exhibit(stem, heading, reason)
    caption = (
        "σ² of each module, from the input of the network to its output; each grid line is ten "
        "times the one below. A tall bar is a module that differs from task to task; a bar at the "
        "dotted line, the lowest value that training allows, is one that all tasks share. "
        f"Coloured bars were selected by the rule: {wording.selection_rule(evaluation)}."
    )
    modules = evaluation["modules"]
    rows = [[m["name"], number(m["sigma2"]), m["task_specific"]] for m in modules]
    columns = ["module", "sigma2", "task_specific"]
    return Exhibit(stem, heading, caption, figures.sigma2_bars(evaluation), columns, rows)


def _size_quality(evaluation: dict[str, Any]) -> Exhibit:
    stem, heading = "size_quality", "How many modules should adapt?"
    rows = size_quality_rows(evaluation)
    if not rows:
        return Exhibit(stem, heading, "")
    caption = (
        "σ² does not separate the modules, so the number of them that adapt is a choice: the "
        "held-out result when those of the largest σ² adapt, one more after the other, against "
        "what a task then has to store."
    )
    return Exhibit(stem, heading, caption, size_quality_curve(evaluation), COLUMNS, rows)


def _singles(evaluation: dict[str, Any]) -> Exhibit:
    stem, heading = "single_modules", "What if only one part adapts?"
    schemes = of_kind(evaluation, "single")
    if not schemes:
        return Exhibit(stem, heading, "This evaluation did not adapt single modules.", None)
    better = "lower" if evaluation["metric"]["lower_is_better"] else "higher"
    own, others = (task_counts([evaluation], alone=flag) for flag in (True, False))
    caption = (
        f"One part of the network adapts to each of {listed_numbers(own)} held-out tasks, "
        f"the rest stays fixed; {better} is better. A part whose bar reaches the dashed line does "
        "as well alone as the whole network; one near the dotted line does not help."
    )
    if others and others != own:
        caption += f" The lines are those of {listed_numbers(others)} tasks."
    rows = [[s["name"], *at_horizon(evaluation, s)] for s in schemes]
    columns = ["adapts alone", "step", "mean", "ci95"]
    return Exhibit(stem, heading, caption, figures.single_module_bars(evaluation), columns, rows)


def _adaptation(evaluation: dict[str, Any]) -> Exhibit:
    caption = (
        f"Mean over {held_out_tasks([evaluation])} after each number of adaptation "
        "steps; bands are 95 % confidence intervals. "
    )
    used = evaluation["train_adaptation_steps"]
    if used <= BEYOND * max(scheme["steps"][-1] for scheme in evaluation["schemes"]):
        caption += (
            "The vertical line is the number of steps that meta-training used: to its right a "
            "curve that turns for the worse overfits the task."
        )
    else:
        caption += f"Meta-training used {used:,} steps, which is beyond these."
    rows = [
        [scheme["name"], *point]
        for scheme in evaluation["schemes"]
        for point in zip(scheme["steps"], scheme["mean"], scheme["ci95"], strict=True)
    ]
    columns = ["what adapts", "step", "mean", "ci95"]
    figure = figures.adaptation_curves(evaluation)
    return Exhibit("adaptation", "How does it go on, step by step?", caption, figure, columns, rows)


def _learning(evaluation: dict[str, Any], metrics: Sequence[dict[str, Any]]) -> Exhibit:
    stem, heading = "learning_curves", "How did training go?"
    special = [m["name"] for m in evaluation["modules"] if m["task_specific"]]
    figure = figures.learning_curves(metrics, special, f"held-out {evaluation['metric']['name']}")
    if figure is None:
        return Exhibit(stem, heading, "There are no learning curves: metrics.jsonl has no rows.")
    caption = (
        "Loss of the adapted tasks during meta-training; where it is noisy, thin lines are single "
        "meta-batches and thick ones their running median."
    )
    if sigma2_is_learned(evaluation):
        caption += (
            " Below it, σ² of each module as it was learned: it starts equal everywhere, then "
            "sinks for the modules that all tasks share."
        )
    keys = ["nll_train", "nll_val", "metric", *keys_with(metrics, "sigma2/")]
    rows = [[row["step"], row.get("kind"), *(row.get(key) for key in keys)] for row in metrics]
    return Exhibit(stem, heading, caption, figure, ["step", "kind", *keys], rows)


def _parameter_error(evaluation: dict[str, Any]) -> Exhibit:
    stem, heading = "parameter_error", "How far is each parameter from the truth?"
    error = evaluation.get("parameter_error")
    if not error:
        return Exhibit(stem, heading, "")
    caption = (
        "These tasks are generated, so the true parameters are known: mean absolute error of each "
        "one while everything adapts. A curve that turns up overfits."
    )
    rows = [
        [name, step, value]
        for name, mean in zip(error["names"], error["mean"], strict=True)
        for step, value in zip(error["steps"], mean, strict=True)
    ]
    figure = figures.parameter_error_panels([(title(evaluation), evaluation)])
    return Exhibit(stem, heading, caption, figure, ["parameter", "step", "error"], rows)


def _examples(evaluation: dict[str, Any]) -> Exhibit:
    stem, heading = "examples", "What does an adapted network predict?"
    examples = evaluation.get("examples")
    if not examples:
        return Exhibit(stem, heading, "")
    caption = (
        "Held-out tasks: the grey band is the function to find, the dots are all that the network "
        "saw of it, the lines are its predictions after adaptation."
    )
    rows = [
        [task, name, x, y]
        for task, example in enumerate(examples)
        for name, ys in {"truth": example["truth"], **example["predictions"]}.items()
        for x, y in zip(example["x"], ys, strict=True)
    ]
    figure = figures.example_predictions(evaluation)
    return Exhibit(stem, heading, caption, figure, ["task", "curve", "x", "y"], rows)
