"""`python -m launch.sweep` is `meta-shrink sweep`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("sweep", "python -m launch.sweep")
