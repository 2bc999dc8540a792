"""Where a figure comes from: commit, machine, versions, load. Knows nothing of what is measured."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import Any

from meritree.run.commit import commit


def provenance(command: str, *, seeds: str = "") -> dict[str, Any]:
    """What is needed to repeat a run; ``command`` without the paths of this machine."""
    return {
        "command": command,
        "commit": commit(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load": [round(x, 1) for x in os.getloadavg()],
        "date": datetime.now(UTC).date().isoformat(),
        "seeds": seeds,
    }
