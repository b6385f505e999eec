"""The flags that say on which devices a program runs."""

from __future__ import annotations

from typing import Any

from absl import flags

from meta_shrink.errors import UsageError

STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    ["auto", "one", "mirrored", "multi_worker", "tpu"],
    "Devices: one; all GPUs of this machine (mirrored); those of all processes of TF_CONFIG, each "
    "started with the same command (multi_worker); a TPU; or what there is (auto).",
)
TPU = flags.DEFINE_string("tpu", None, "Name of the TPU, or local: that of this machine.")


def chosen_strategy(*, joined: str | None = None) -> Any:
    """The strategy of the flags.

    joined: of make_strategy, for a program that does not join processes.

    Raises:
      UsageError: of make_strategy, or an empty --tpu.
    """
    # Late, so that --help is quick.
    from meta_shrink.training.distribution import make_strategy

    if TPU.value is not None and not TPU.value.strip():
        raise UsageError("--tpu= is empty: give the name of a TPU, or local, or leave it out.")
    return make_strategy(STRATEGY.value, tpu=TPU.value or "", joined=joined)
