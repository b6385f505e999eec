"""`python -m launch.synthesize` is `meta-shrink synthesize`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("synthesize", "python -m launch.synthesize")
