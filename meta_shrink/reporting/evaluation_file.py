"""What a run's evaluation says: its files read and checked, its numbers as sentences and tables.

evaluation.json (written by `meta-shrink evaluate`) is the source of everything here; its
layout is what `check_evaluation` asks for. This module and the report need no TensorFlow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.durable_files import read_json
from meta_shrink.errors import ArtefactError
from meta_shrink.runs.metrics_log import MetricsLog

SIGMA2_FLOOR = 1e-5  # prior.SIGMA2_MIN, without TensorFlow
KINDS = ("all", "selected", "ranked", "single", "none")
TITLES = {
    "maml": "MAML",
    "fomaml": "FOMAML",
    "imaml": "iMAML",
    "reptile": "Reptile",
    "meta_sgd": "Meta-SGD",
    "sigma_maml": "σ-MAML",
    "sigma_imaml": "σ-iMAML",
    "sigma_reptile": "σ-Reptile",
}
_REQUIRED = {
    "": "experiment algorithm meta_step metric num_tasks train_adaptation_steps modules "
    "selection schemes environment",
    "metric": "name lower_is_better",
    "modules": "name size share bytes sigma2 task_specific",
    "selection": "rule value modules share bytes",
    "schemes": "name kind modules steps mean ci95",
    "examples": "x truth train_x train_y predictions",
    "parameter_error": "names steps mean",
}


class Estimate(NamedTuple):
    """A mean over held-out tasks after `step` adaptation steps, +- its 95 % interval."""

    step: int
    mean: float
    ci95: float

    def __str__(self) -> str:
        return plus_minus(self.mean, self.ci95)


def load_evaluation(workdir: str | Path) -> dict[str, Any]:
    """Reads and checks workdir/evaluation.json.

    Raises:
      ArtefactError: it is missing (the sentence has the command that writes it) or broken.
    """
    path = Path(workdir) / "evaluation.json"
    command = f"meta-shrink evaluate --workdir={workdir}"
    if not path.exists():
        raise ArtefactError(f"{path} does not exist; write it with `{command}`, then report again.")
    try:
        return check_evaluation(read_json(str(path)))
    except (OSError, ValueError, ArtefactError) as error:
        raise ArtefactError(
            f"{path} is broken ({error}); write it anew with `{command}`."
        ) from None


def check_evaluation(evaluation: Any) -> dict[str, Any]:
    """Returns the evaluation, after looking for every key that the report reads.

    Raises:
      ArtefactError: a key is missing, a curve's lists differ in length, or nothing was evaluated.
    """
    if not isinstance(evaluation, dict):
        raise ArtefactError("it is not a JSON object")
    for section, keys in _REQUIRED.items():
        _require(evaluation if not section else evaluation.get(section, []), section, keys.split())
    known = {module["name"] for module in evaluation["modules"]}
    if not known or not evaluation["schemes"]:
        raise ArtefactError("it has no modules or no adaptation schemes")
    for scheme in evaluation["schemes"]:
        if scheme["kind"] not in KINDS:
            raise ArtefactError(
                f"{scheme['name']!r} has kind {scheme['kind']!r}, not one of {KINDS}"
            )
        lengths = {len(scheme[key]) for key in ("steps", "mean", "ci95")}
        if len(lengths) > 1 or lengths == {0}:
            raise ArtefactError(
                f"steps, mean and ci95 of {scheme['name']!r} must be equally long and not empty"
            )
        if strangers := set(scheme["modules"]) - known:
            raise ArtefactError(f"{scheme['name']!r} names unknown modules {sorted(strangers)}")
    return evaluation


def _require(found: Any, section: str, keys: list[str]) -> None:
    for part in found if isinstance(found, list) else [found]:
        if not isinstance(part, dict):
            raise ArtefactError(f"{section or 'the file'} is not a JSON object")
        if missing := [key for key in keys if key not in part]:
            raise ArtefactError(f"{section or 'the file'} lacks {', '.join(missing)}")


def load_metrics(workdir: str | Path) -> list[dict[str, Any]]:
    """Rows of workdir/metrics.jsonl by step, without a torn last line. No file: no rows.

    Raises:
      ArtefactError: another line is broken.
    """
    log = MetricsLog(str(Path(workdir) / "metrics.jsonl"), read_only=True)
    return sorted((row for row in log.rows() if "step" in row), key=lambda row: row["step"])


def running_median(values: np.ndarray) -> np.ndarray:
    """Median over a window of about a 15th of the values, shorter at the ends."""
    half = max(len(values) // 30, 1)
    return np.array(
        [np.median(values[max(i - half, 0) : i + half + 1]) for i in range(len(values))]
    )


def keys_with(rows: Sequence[dict[str, Any]], prefix: str) -> list[str]:
    """Keys of the rows that start with `prefix`, in the order of their first appearance."""
    return list(dict.fromkeys(key for row in rows for key in row if key.startswith(prefix)))


def series(rows: Sequence[dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of the rows with a finite value under the key; a positive sigma^2 only."""
    pairs = [(row["step"], number(row[key])) for row in rows if key in row]
    least = 0.0 if key.startswith("sigma2/") else -math.inf
    pairs = [(step, value) for step, value in pairs if math.isfinite(value) and value > least]
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])


def number(value: Any) -> float:
    """A JSON number; "inf" and "-inf" are allowed, null is not-a-number."""
    return math.nan if value is None else float(value)


def sigma2_is_learned(evaluation: dict[str, Any]) -> bool:
    """Whether sigma^2 was learned; else no rule was asked to select by it (subsets.select)."""
    return evaluation["selection"]["rule"] != "none"


def title(evaluation: dict[str, Any]) -> str:
    """The algorithm as the paper writes it."""
    name = str(evaluation["algorithm"])
    return TITLES.get(name, name)


def of_kind(evaluation: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The schemes of one kind, of KINDS."""
    return [scheme for scheme in evaluation["schemes"] if scheme["kind"] == kind]


def estimate_at(scheme: dict[str, Any], step: float) -> Estimate:
    """The scheme's metric at the last recorded step that is not beyond `step`."""
    at = max((i for i, s in enumerate(scheme["steps"]) if s <= step), default=0)
    return Estimate(scheme["steps"][at], number(scheme["mean"][at]), number(scheme["ci95"][at]))


def at_horizon(evaluation: dict[str, Any], scheme: dict[str, Any]) -> Estimate:
    """The scheme's metric after the number of adaptation steps at which results are quoted."""
    return estimate_at(scheme, quoted_steps(evaluation))


def quoted_steps(evaluation: dict[str, Any]) -> int:
    """Adaptation steps at which results are quoted: eval.steps, or those of meta-training."""
    return evaluation.get("quoted_steps", evaluation["train_adaptation_steps"])


def less_everything(scheme: dict[str, Any]) -> Estimate | None:
    """The metric less that of adapting everything, paired by task; None where nobody measured."""
    found = scheme.get("less_everything")
    return found and Estimate(found["step"], number(found["mean"]), number(found["ci95"]))


def best_of(evaluation: dict[str, Any], scheme: dict[str, Any]) -> Estimate:
    """The scheme's best metric over the recorded steps."""
    sign = 1 if evaluation["metric"]["lower_is_better"] else -1
    estimates = [estimate_at(scheme, step) for step in scheme["steps"]]
    finite = [e for e in estimates if math.isfinite(e.mean)] or estimates[:1]
    return min(finite, key=lambda estimate: sign * estimate.mean)


def badness(evaluation: dict[str, Any], scheme: dict[str, Any]) -> float:
    """Sort key: the metric at the horizon, best first, divergence last."""
    mean = at_horizon(evaluation, scheme).mean
    sign = 1 if evaluation["metric"]["lower_is_better"] else -1
    return sign * mean if math.isfinite(mean) else math.inf


def plus_minus(mean: float, ci95: float) -> str:
    """`mean ± ci95`, both to the second significant digit of the interval."""
    if not math.isfinite(mean):
        return "diverged"
    if not math.isfinite(ci95) or ci95 <= 0:
        return f"{mean:.3g}"
    decimals = min(max(1 - math.floor(math.log10(ci95)), 0), 8)
    return f"{mean:,.{decimals}f} ± {ci95:,.{decimals}f}"


def readable_bytes(count: float) -> str:
    """Bytes as text in powers of 1,000."""
    for unit, size in (("MB", 1e6), ("kB", 1e4)):
        if count >= size:
            return f"{count / {'MB': 1e6, 'kB': 1e3}[unit]:.3g} {unit}"
    return f"{count:,} bytes"


def readable_share(share: float) -> str:
    """A share of the parameters as per cent."""
    return f"{100 * share:.1f} %" if share >= 0.001 or share == 0 else "< 0.1 %"


def readable_sigma2(value: float) -> str:
    """sigma^2 to three digits; infinity is `no prior`, zero `frozen`."""
    if not math.isfinite(value):
        return "∞ (no prior)" if value == math.inf else "0 (frozen)"
    return f"{value:.3g}" if value > 0 else "0 (frozen)"


def find_scheme(evaluation: dict[str, Any], kind: str, name: str = "") -> dict[str, Any] | None:
    """The first scheme of a kind (and name), None without one."""
    found = [s for s in of_kind(evaluation, kind) if not name or s["name"] == name]
    return found[0] if found else None


def gap_below(evaluation: dict[str, Any]) -> float:
    """The least sigma^2 of the selected modules over the largest of the others; 0 without any."""
    values: dict[bool, list[float]] = {True: [], False: []}
    for module in evaluation["modules"]:
        values[module["task_specific"]].append(max(number(module["sigma2"]), SIGMA2_FLOOR))
    return min(values[True]) / max(values[False]) if all(values.values()) else 0.0


def widest_gap(evaluation: dict[str, Any]) -> float:
    """The largest ratio of neighbours among the ranked sigma^2."""
    ranked = sorted(max(number(m["sigma2"]), SIGMA2_FLOOR) for m in evaluation["modules"])
    return max((high / low for low, high in itertools.pairwise(ranked)), default=1.0)
