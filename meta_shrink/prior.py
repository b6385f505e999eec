"""The shrinkage prior N(phi_m, sigma_m^2 I): its regulariser, its clipping, module selection."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.registry import ModuleRegistry
from meta_shrink.types import MetaParams

SIGMA2_MIN, SIGMA2_MAX = 1e-5, 1e5  # App. D.2
BYTES_PER_PARAMETER = 4


def regulariser_gradient(log_sigma2: tf.Tensor, *, beta: float) -> tf.Tensor:
    """Gradient with respect to log sigma^2 of -beta log IG(sigma^2; 1, beta), [M].

    Eq. 49 with its sign mended: as printed it would push sigma^2 up. The minimum of the
    regulariser alone is at sigma^2 = beta/2.
    """
    return beta * (2 - beta * tf.exp(-log_sigma2))


def clip_log_sigma2(
    log_sigma2: tf.Tensor, *, low: float = SIGMA2_MIN, high: float = SIGMA2_MAX
) -> tf.Tensor:
    """log sigma^2 with sigma^2 clipped to [low, high] (App. D.2)."""
    return tf.clip_by_value(log_sigma2, np.log(low), np.log(high))


def freeze_others(meta: MetaParams, registry: ModuleRegistry, modules: Sequence[str]) -> MetaParams:
    """Meta-parameters under which only the named modules adapt: sigma^2 = 0 for the others.

    For meta-test only: a precision of infinity has no place in a linear solve.

    Raises:
      UsageError: an unknown module.
    """
    chosen = {registry.position(name) for name in modules}
    keep = tf.constant([m in chosen for m in range(registry.num_modules)])
    frozen = tf.fill(meta.log_sigma2.shape, tf.constant(-np.inf, meta.log_sigma2.dtype))
    return meta._replace(log_sigma2=tf.where(keep, meta.log_sigma2, frozen))


class Selection(NamedTuple):
    """The modules found task-specific: rule, its value, names in network order, their size."""

    rule: str
    value: float
    modules: tuple[str, ...]
    share: float
    bytes: int


def task_specific(
    sigma2: Sequence[float], registry: ModuleRegistry, *, rule: str, value: float
) -> Selection:
    """The task-specific modules, ranked by sigma^2 (Section 4.3).

    Args:
      sigma2: M prior variances.
      rule: "gap" (those above the widest gap between neighbours in the ranking, a ratio of at
        least value; none where no gap is as wide: the variances are not separated), "threshold"
        (sigma^2 > value), "relative" (sigma^2 > value times the largest), "top_k" (the value
        largest), or "max_bytes" (the largest, while they fit into value bytes at 4 bytes a
        parameter; the first one that does not fit ends the list).

    Raises:
      UsageError: what check_rule refuses, or a rule other than "gap" selects no module.
    """
    check_rule(registry, rule=rule, value=value)
    if len(sigma2) != registry.num_modules:
        raise UsageError(f"{len(sigma2)} variances for {registry.num_modules} modules.")
    order = sorted(range(len(sigma2)), key=lambda m: -sigma2[m])
    chosen = sorted(_RULES[rule](order, sigma2, registry, value))
    if not chosen and rule != "gap":
        raise UsageError(
            f"selection rule {rule}={value} selects no module; the largest sigma^2 is "
            f"{max(sigma2):.3g}, the smallest module has {min(registry.sizes)} parameters."
        )
    size = sum(registry.sizes[m] for m in chosen)
    return Selection(
        rule=rule,
        value=value,
        modules=tuple(registry.names[m] for m in chosen),
        share=size / sum(registry.sizes),
        bytes=size * BYTES_PER_PARAMETER,
    )


def check_rule(registry: ModuleRegistry, *, rule: str, value: float) -> None:
    """Refuse a selection that cannot be meant, whatever the variances turn out to be.

    Raises:
      UsageError: an unknown rule, or a value out of its range.
    """
    if rule not in _RULES:
        raise UsageError(f"selection rule is {rule!r}; expected one of {', '.join(_RULES)}.")
    smallest = BYTES_PER_PARAMETER * min(registry.sizes)
    fits, expected = {
        "gap": (value >= 1, "a ratio of at least 1"),
        "threshold": (value >= 0, "a variance of at least 0"),
        "relative": (0 <= value < 1, "a share of the largest variance, below 1"),
        "top_k": (value >= 1 and value % 1 == 0, "a whole number of at least 1"),
        "max_bytes": (value >= smallest, f"at least the {smallest} bytes of the smallest module"),
    }[rule]
    if not fits or not math.isfinite(value):
        raise UsageError(f"selection rule {rule!r} got the value {value}; expected {expected}.")


def _above_the_gap(order, sigma2, registry, value):
    ranked = [max(sigma2[m], SIGMA2_MIN) for m in order]
    ratios = [above / below for above, below in itertools.pairwise(ranked)]
    widest = max(ratios, default=0.0)
    return order[: ratios.index(widest) + 1] if widest >= value else []


def _above_threshold(order, sigma2, registry, value):
    return [m for m in order if sigma2[m] > value]


def _above_share_of_largest(order, sigma2, registry, value):
    return [m for m in order if sigma2[m] > value * sigma2[order[0]]]


def _top_k(order, sigma2, registry, value):
    return order[: int(value)]


def _within_bytes(order, sigma2, registry, value):
    used = np.cumsum([registry.sizes[m] * BYTES_PER_PARAMETER for m in order])
    return order[: int(np.searchsorted(used, value, side="right"))]


_RULES = {
    "gap": _above_the_gap,
    "threshold": _above_threshold,
    "relative": _above_share_of_largest,
    "top_k": _top_k,
    "max_bytes": _within_bytes,
}
