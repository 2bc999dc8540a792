"""What the sandbox's tests share."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from meritree.errors import BadInput
from meritree.run.containers import ENGINES
from meritree.run.sandbox import (
    Completed,
    Confined,
    Limits,
    Sandbox,
    choose,
)


def sandbox_of(kind: str) -> Sandbox:
    if kind in ENGINES and os.environ.get("MERITREE_CONTAINERS") != "1":
        pytest.skip("a container takes a second to start; MERITREE_CONTAINERS=1 tries them")
    try:
        return choose(kind)
    except BadInput as error:
        pytest.skip(f"{kind}: {error}")


def run(sandbox: Sandbox, work: Path, code: str, *args: object, **limits: object) -> Completed:
    limits.setdefault("wall_seconds", 20)
    return sandbox.run(
        [sys.executable, "-I", "-c", code, *map(str, args)],
        cwd=work,
        writable=[work],
        env={"PATH": "/usr/bin:/bin"},
        limits=Limits(**limits),  # type: ignore[arg-type]
    )


def beating(path: Path) -> bool:
    """Whether some process still appends to a file."""
    size = path.stat().st_size
    time.sleep(0.3)
    return path.stat().st_size > size


def launch(sandbox: Sandbox, work: Path, code: str, **how: object) -> Confined:
    return sandbox.launch(
        [sys.executable, "-I", "-c", code],
        cwd=work,
        writable=[work],
        **how,  # type: ignore[arg-type]
    )
