"""Programs: python -m launch.train, launch.evaluate, launch.report, launch.sweep."""

import os

# TensorFlow's own start-up chatter hides what the user should read.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
