"""The seam to whatever confines test processes (`meritree.run.sandbox` in real runs).

Knows how to start one process with limits; knows nothing about tests.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Launcher(Protocol):
    """Starts a process that may write only where it is told to."""

    def launch(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        writable: Sequence[Path] = (),
        readable: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        limits: Any = None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]: ...
