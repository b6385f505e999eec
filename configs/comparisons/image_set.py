"""What the comparisons of image experiments share."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

LONG = ("reptile", "sigma_reptile", "imaml", "sigma_imaml")
SHORT = ("maml", "sigma_maml", "imaml", "sigma_imaml", "reptile", "sigma_reptile")
SHORT += ("fomaml", "meta_sgd")
# One thread a run: as many runs at once as there are cores.
ONE_THREAD = {"device.cpu_threads": 1}
# What there is before the first meta-step: one of rate zero.
NO_META_STEP = {
    "meta_optimizer.phi.learning_rate": 1e-12,
    "train.steps": 1,
    "train.meta_batch_size": 1,
}


def image_set(
    name: str,
    prefix: str,
    methods: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    start: str = "warm start alone",
    **evaluate: Mapping[str, Any],
) -> ConfigDict:
    """A set of the configs `prefix`METHOD, and of what they start from.

    start: label of the latter. evaluate: the set's keys `evaluate` and `evaluate_others`.
    """
    runs = [
        {"config": f"{prefix}{method}", "label": method, "overrides": ONE_THREAD}
        for method in methods
    ]
    alone = {"label": start, "overrides": {**ONE_THREAD, **NO_META_STEP}}
    runs.append({"config": f"{prefix}imaml", **alone})
    return ConfigDict({"name": name, "runs": runs, "seeds": list(seeds), **evaluate})
