"""`python -m launch.evaluate` is `meta-shrink evaluate`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("evaluate", "python -m launch.evaluate")
