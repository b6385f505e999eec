"""Task sources: TASKS[name](*, seed, ...) -> TaskSource, all generated on the device."""

from meta_shrink.tasks.gaussian import gaussian
from meta_shrink.tasks.sinusoid import sinusoid

TASKS = {"gaussian": gaussian, "sinusoid": sinusoid}

__all__ = ["TASKS", "gaussian", "sinusoid"]
