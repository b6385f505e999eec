"""`python -m launch.report` is `meta-shrink report`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("report", "python -m launch.report")
