"""The number of steps that meta-training used, beside steps that are fewer or many more."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from meta_shrink.reporting import figures
from meta_shrink.reporting.comparison_figure import comparison_curves
from meta_shrink.reporting.exhibits import all_exhibits
from tests.reporting_samples import small, with_extras

LAST = 100  # adaptation steps of the samples
USED = (1, 2, 10, 40, 59, 61, 99, 100, 101, 103, 120, 200, 1000, 100_000)


def drawn(figure: Figure) -> tuple[Figure, list[Text]]:
    """The figure as it is laid out, and its labels of the steps of meta-training."""
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # As of axes that have no room.
        figure.canvas.draw()
    return figure, [text for ax in figure.axes for text in ax.texts if "used" in text.get_text()]


def lines_at(figure: Figure, x: float) -> int:
    lines = [line for ax in figure.axes for line in ax.lines]
    return sum(np.array_equal(line.get_xdata(), [x, x]) for line in lines)


@pytest.mark.parametrize("steps", [[0, 1, 2, 5, LAST], [0, 0.5, 1, LAST], [0, 20, LAST]])
@pytest.mark.parametrize("used", USED)
def test_a_line_where_the_axis_has_it_and_a_label_within_the_axes(used, steps):
    evaluation = small(steps=steps) | {"train_adaptation_steps": used}
    figure, [label] = drawn(figures.adaptation_curves(evaluation))
    [ax] = figure.axes
    shown = used <= 1.02 * LAST
    assert lines_at(figure, used) == shown
    wanted = f"meta-training used {used:,} steps"
    assert label.get_text() == (wanted if shown else f"{wanted}, beyond this")
    axes, text = ax.get_window_extent(), label.get_window_extent()
    assert axes.width > 0.6 * figure.bbox.width and axes.height > 0.4 * figure.bbox.height
    assert axes.x0 - 1 <= text.x0 and text.x1 <= axes.x1 + 1
    caption = next(e.caption for e in all_exhibits(evaluation, []) if e.stem == "adaptation")
    assert ("The vertical line is" in caption) is shown
    assert (f"Meta-training used {used:,} steps, which is beyond" in caption) is not shown


@pytest.mark.parametrize("used", USED)
def test_of_several_runs_those_that_the_axis_has(used):
    runs = [small() | {"train_adaptation_steps": steps} for steps in sorted({10, used})]
    figure, [label] = drawn(comparison_curves([(f"run {i}", run) for i, run in enumerate(runs)]))
    assert lines_at(figure, 10) == 1 and lines_at(figure, used) == (used <= 1.02 * LAST)
    first = " or ".join(f"{steps:,}" for steps in sorted({10, used}))
    assert label.get_text().startswith(f"meta-training used {first} steps")
    assert label.get_window_extent().x1 <= figure.axes[0].get_window_extent().x1 + 1


@pytest.mark.parametrize("used", [10, 1000, 100_000])
def test_the_errors_of_parameters(used):
    evaluation = with_extras(small()) | {"train_adaptation_steps": used}
    figure, _ = drawn(figures.parameter_error_panels([("one", evaluation), ("two", evaluation)]))
    assert all(ax.get_window_extent().width > 0.3 * figure.bbox.width for ax in figure.axes)
