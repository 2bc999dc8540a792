"""The seam to whatever confines test processes, and a plain local stand-in for it.

Knows how to start one process with limits; knows nothing about tests.
"""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class LocalLauncher:
    """No confinement beyond a session of its own, a file-size limit and no core dumps."""

    file_bytes: int = 1 << 30

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
    ) -> subprocess.Popen[bytes]:
        """Start ``argv`` in ``cwd``; stdin, stdout and stderr are the null device."""

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_bytes, self.file_bytes))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
            preexec_fn=limit,
        )
