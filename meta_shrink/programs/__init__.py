"""The programs: `meta-shrink PROGRAM`, or from a checkout python -m launch.* and export.*."""
