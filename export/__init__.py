"""Programs: python -m launch.train, evaluate, report, compare, sweep."""

import os
import sys

try:
    import meta_shrink._require_tensorflow  # noqa: F401
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}")

# TensorFlow's own start-up chatter hides what the user should read.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
