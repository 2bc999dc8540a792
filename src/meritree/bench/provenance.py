"""Where a figure comes from: commit, machine, versions, load. Knows nothing of what is measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meritree import __version__


def provenance(command: str, *, seeds: str = "") -> dict[str, Any]:
    """What is needed to repeat a run; ``command`` without the paths of this machine."""
    return {
        "command": command,
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load": [round(x, 1) for x in os.getloadavg()],
        "date": datetime.now(UTC).date().isoformat(),
        "seeds": seeds,
    }


def _commit() -> str:
    folder = Path(__file__).parent
    head = _git(folder, "rev-parse", "--short=10", "HEAD")
    # In an environment inside somebody else's repository git would name that one's commit.
    if head is None or _git(folder, "ls-files", "--error-unmatch", __file__) is None:
        return f"version {__version__}"
    changed = _git(folder, "status", "--porcelain", "--", str(folder.parent))
    return f"{head}+changes" if changed else head


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
