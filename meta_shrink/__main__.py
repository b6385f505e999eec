"""`python -m meta_shrink` is `meta-shrink`."""

from __future__ import annotations

import sys

from meta_shrink.programs.command_line import main

if __name__ == "__main__":
    sys.exit(main())
