"""The files of a run: workdir, checkpoints, metrics, progress."""
