"""`python -m launch.adapt` is `meta-shrink adapt`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("adapt", "python -m launch.adapt")
