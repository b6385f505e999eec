"""`python -m launch.serve` is `meta-shrink serve`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("serve", "python -m launch.serve")
