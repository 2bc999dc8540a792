"""Which commit the running code is of, for whoever stores what it measured."""

from __future__ import annotations

import subprocess
from pathlib import Path

from meritree import __version__

_CODE = Path(__file__).parent.parent


def commit(*apart: Path) -> str:
    """Short hash of the running code's commit, ``+changes`` if files of it were edited since.

    The version where the code does not stand in its own git repository.

    Args:
        apart: files and folders whose changes do not count.
    """
    head = _git("rev-parse", "--short=10", "HEAD")
    # In an environment inside somebody else's repository git would name that one's commit.
    if head is None or _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return f"version {__version__}"
    excluded = [f":(exclude){path}" for path in apart]
    changed = _git("status", "--porcelain", "--", str(_CODE), *excluded)
    return f"{head}+changes" if changed else head


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=_CODE, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
