"""The program's first lines: an interrupt before anything is loaded still says something."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Entry point of the `meritree` program."""
    try:
        from meritree.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("meritree: interrupted before it began; nothing was changed", file=sys.stderr)
        sys.exit(130)
