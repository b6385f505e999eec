"""`python -m launch.enroll` is `meta-shrink enroll`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("enroll", "python -m launch.enroll")
