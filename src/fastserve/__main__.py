"""`python -m fastserve`, and the `fastserve` command."""

from __future__ import annotations

import sys

from fastserve.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
