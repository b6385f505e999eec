"""The flags of programs that adapt a backbone: to tasks' files, or to recordings."""

from __future__ import annotations

from typing import Any

from absl import flags

from meta_shrink.programs.loading import load_backbone
from meta_shrink.runs.processes import MOST_PROCESSES

BACKBONE = flags.DEFINE_string("backbone", None, "Folder of export-backbone.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder for the adapters.", required=True)
OPTIONS = {
    "steps": flags.DEFINE_integer(
        "steps", 0, "Adaptation steps; 0: as the backbone says.", lower_bound=0
    ),
    "seed": flags.DEFINE_integer(
        "seed", 0, "Of mini-batches and augmentation.", 0, upper_bound=2**31 - 1
    ),
    "encoding": flags.DEFINE_enum(
        "encoding", "f32", ["f32", "f16", "bf16", "int8_delta"], "How the files hold numbers."
    ),
    "points": flags.DEFINE_integer(
        "points", 8, "About as many steps at which the metric is recorded.", lower_bound=2
    ),
    "early_stop": flags.DEFINE_integer(
        "early_stop", 0, "End after this many records without a better one; 0: never.", 0
    ),
    "consent": flags.DEFINE_string("consent", "", "Text for the files: whose consent, to what."),
    "licence": flags.DEFINE_string("licence", "", "Text for the files."),
}
PROCESSES = flags.DEFINE_integer(
    "processes",
    1,
    "Processes that adapt tasks at a time, each on a GPU of its own where there are any.",
    lower_bound=1,
    upper_bound=MOST_PROCESSES,
)


def chosen_backbone() -> Any:
    """The backbone of the flags; with several processes they have the GPUs, this one has none.

    Raises:
      ArtefactError: of Backbone.load.
    """
    # Late, so that --help is quick.
    import tensorflow as tf

    if PROCESSES.value > 1:
        tf.config.set_visible_devices([], "GPU")
    return load_backbone(BACKBONE.value)


def chosen_options(**more: Any) -> Any:
    """The AdaptOptions of the flags, and more of them."""
    # Late, so that --help is quick.
    from meta_shrink.enrolment.one_task import AdaptOptions

    return AdaptOptions(**{name: flag.value for name, flag in OPTIONS.items()}, **more)
