"""Figure 6 of the paper: l_joint and its gradient against sigma^2, in both cases of Proposition 4.

    python -m docs.results.figure_6

draws docs/results/figure_6.png in seconds. N = 10 observations a task, 200 tasks. Left: the task
means vary too little (S < 4/N), nothing is stationary. Right: a local maximum and a local minimum
(orange). Either way l_joint falls without end as sigma^2 goes to 0, which is why sigma^2 is learned
from the predictive likelihood instead. The curves are the closed forms;
`tests/paper/test_joint_density.py` finds the same with the library's own adaptation and prior.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

NUM_TASKS, NUM_OBSERVATIONS = 200, 10
VARIANCES = {"a, c: S < 4/N": 1.0, "b, d: S > 4/N": 6.0}  # true sigma^2 in units of 1/N
LINE, DOT = "#1f4e79", "#ff7f0e"
TARGET = Path(__file__).with_suffix(".png")


def task_means(sigma2_true: float) -> np.ndarray:
    """xbar_t [T] whose variance over tasks is its expectation, sigma^2 + 1/N (Eq. 21), exactly."""
    x = np.random.default_rng(0).normal(size=NUM_TASKS)
    return (x - x.mean()) / x.std() * np.sqrt(sigma2_true + 1 / NUM_OBSERVATIONS)


def joint(sigma2: np.ndarray, variance: float, n: int = NUM_OBSERVATIONS) -> np.ndarray:
    """l_joint / T at stationary theta and phi (Eqs. 12 and 24), less its constant."""
    shrink = 1 + 1 / (n * sigma2)
    prior = variance / (sigma2 * shrink**2)
    misfit = n * variance * (1 - 1 / shrink) ** 2
    return 0.5 * (np.log(sigma2) + prior + misfit)


def joint_gradient(sigma2: np.ndarray, variance: float, n: int = NUM_OBSERVATIONS) -> np.ndarray:
    """d (l_joint / T) / d sigma^2 (the equation before Eq. 30 with Eq. 29)."""
    shrink = 1 + 1 / (n * sigma2)
    return 0.5 * (1 / sigma2 - variance / (sigma2 * shrink) ** 2)


def stationary_points(variance: float, n: int = NUM_OBSERVATIONS) -> np.ndarray:
    """The roots of Eq. 34, none or two."""
    if variance < 4 / n:
        return np.array([])
    spread = np.sqrt(variance * (variance - 4 / n))
    return 0.5 * (variance - 2 / n + np.array([-spread, spread]))


def draw_curve(axes: Axes, function, variance: float, label: str) -> None:
    """One panel: the function over sigma^2, its stationary points as dots."""
    sigma2 = np.geomspace(2e-3, 3, 500)
    dots = stationary_points(variance)
    axes.plot(sigma2, function(sigma2, variance), color=LINE)
    axes.plot(dots, function(dots, variance), "o", color=DOT, label="stationary point")
    axes.set(xscale="log", xlabel="σ²", ylabel=label)
    axes.grid(alpha=0.3)


def figure_6() -> Figure:
    """Two columns (without and with stationary points), l_joint above its gradient."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2, sharex=True)
    for column, (title, scaled) in enumerate(VARIANCES.items()):
        variance = task_means(scaled / NUM_OBSERVATIONS).var()
        top, bottom = panels[0, column], panels[1, column]
        draw_curve(top, joint, variance, "l_joint per task, up to a constant")
        draw_curve(bottom, joint_gradient, variance, "d l_joint / d σ², per task")
        bottom.axhline(0, color="black", linewidth=0.8)
        bottom.set_yscale("symlog", linthresh=0.1)
        top.set_title(f"{title}  (S = {variance:.2f}, 4/N = {4 / NUM_OBSERVATIONS:.2f})")
        top.set_xlabel("")
    panels[0, 1].legend(loc="upper right")
    figure.suptitle("Learning σ² from the joint density fails: it falls without end as σ² → 0")
    return figure


if __name__ == "__main__":
    figure_6().savefig(TARGET, dpi=120)
