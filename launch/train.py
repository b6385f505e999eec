"""`python -m launch.train` is `meta-shrink train`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("train", "python -m launch.train")
