"""`python -m launch.prepare_data` is `meta-shrink prepare-data`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("prepare-data", "python -m launch.prepare_data")
