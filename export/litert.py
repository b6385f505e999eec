"""`python -m export.litert` is `meta-shrink export-litert`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("export-litert", "python -m export.litert")
