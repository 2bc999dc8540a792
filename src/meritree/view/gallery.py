"""What a folder holds that can be shown: runs, results of studies, results of benches.

Looks at names and the first keys only; reading them is `store`'s and `measured`'s work.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

MAX_DEPTH = 5
MAX_ENTRIES = 500
MAX_JSON = 50_000_000  # bytes of a result that is opened

Kind = Literal["run", "study", "bench"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to show.

    Attributes:
        id: short and stable, for addresses.
        kind: run, study or bench.
        name: the path below the folder that is shown.
        path: the run's folder, else the JSON file.
        part: section of the file (scale of a study), empty where there is one document.
        changed: when it was written last, seconds since 1970.
    """

    id: str
    kind: Kind
    name: str
    path: Path
    part: str = ""
    changed: float = 0.0


def find_entries(root: Path) -> list[Entry]:
    """Everything to show below a folder, runs first, the newest first."""
    found: list[Entry] = []
    for entry in _walk(root):
        found.append(entry)
        if len(found) >= MAX_ENTRIES:
            break
    order = {"run": 0, "study": 1, "bench": 2}
    return sorted(found, key=lambda one: (order[one.kind], -one.changed, one.name))


def _walk(root: Path) -> Iterator[Entry]:
    for folder, names, files in os.walk(root):
        here = Path(folder)
        if len(here.relative_to(root).parts) >= MAX_DEPTH:
            names.clear()
        names[:] = sorted(n for n in names if not n.startswith(".") and n != "objects")
        if "run.db" in files:
            yield _entry(root, "run", here, here / "run.db")
            names.clear()
            continue
        for name in sorted(files):
            if name.endswith(".json"):
                yield from _documents(root, here / name)


def _documents(root: Path, path: Path) -> Iterator[Entry]:
    try:
        found = path.stat()
    except OSError:
        return
    for kind, part in _contents(path, found.st_mtime_ns, found.st_size):
        yield _entry(root, kind, path.parent if kind == "run" else path, path, part)


@lru_cache(maxsize=4 * MAX_ENTRIES)
def _contents(path: Path, changed: int, size: int) -> tuple[tuple[Kind, str], ...]:
    """What a file holds (kind, part); read again only when it was written."""
    document = read_json(path)
    if document is None:
        return ()
    parts: list[tuple[Kind, str]] = [
        ("study", part)
        for part, one in {"": document, **document}.items()
        if isinstance(one, Mapping) and {"checks", "rows", "verdict"} <= one.keys()
    ]
    if {"candidates", "status"} <= document.keys():
        parts.append(("run", ""))
    elif "command" in document or {"provenance", "settings"} <= document.keys():
        parts.append(("bench", ""))
    return tuple(parts)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, None where the file holds none or is too large."""
    try:
        if path.stat().st_size > MAX_JSON:
            return None
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _entry(root: Path, kind: Kind, path: Path, file: Path, part: str = "") -> Entry:
    name = path.relative_to(root).as_posix()
    name = root.name if name == "." else name
    if part:
        name = f"{name} ({part})"
    digest = hashlib.sha256(f"{kind}:{name}".encode("utf-8", "surrogateescape")).hexdigest()
    try:
        changed = file.stat().st_mtime
    except OSError:
        changed = 0.0
    return Entry(digest[:12], kind, name, path, part, changed)
