"""Loading a backbone in a program, with the flag for operations that it may not usually hold."""

from __future__ import annotations

from typing import Any

from absl import flags

ALLOW_OPERATIONS = flags.DEFINE_list(
    "allow_operations",
    [],
    "TensorFlow operations that a backbone may hold beside the usual, if you trust who made it.",
)


def load_backbone(path: str) -> Any:
    """The Backbone of a folder.

    Raises:
      ArtefactError: of Backbone.load.
    """
    # Late, so that --help is quick.
    from meta_shrink.backbones.loaded import Backbone

    return Backbone.load(path, allow_operations=ALLOW_OPERATIONS.value)
