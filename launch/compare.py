"""`python -m launch.compare` is `meta-shrink compare`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("compare", "python -m launch.compare")
