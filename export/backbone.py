"""`python -m export.backbone` is `meta-shrink export-backbone`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("export-backbone", "python -m export.backbone")
