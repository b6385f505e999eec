"""Programs: python -m launch.train, evaluate, report, compare, sweep."""

import os
import sys

from meta_shrink import stopping

# So it is while Python looks for the module of `python -m export.backbone`: a program starts.
if sys.argv[:1] == ["-m"]:
    stopping.end_at_once()

try:
    import meta_shrink._require_tensorflow  # noqa: F401
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}")

# TensorFlow's own start-up chatter hides what the user should read.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
