"""`python -m export.tasks` is `meta-shrink export-tasks`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("export-tasks", "python -m export.tasks")
