"""The bundled sample repository: a small package with a complaint and a fault.

Knows how to copy it out; nothing of how it is repaired.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

__all__ = ["issue_text", "unpack"]


def issue_text() -> str:
    """The complaint of a user of the sample package, as it would be filed."""
    return (files("meritree.demo") / "sample" / "issue.md").read_text("utf-8")


def unpack(folder: Path | None = None) -> Path:
    """Copy the sample repository to ``folder``/parcel and return that path.

    Without ``folder`` a new temporary one is made. The copy becomes a git repository with one
    commit, made in process, so that the git program is not needed.
    """
    base = folder or Path(tempfile.mkdtemp(prefix="meritree-demo-"))
    target = base / "parcel"
    with as_file(files("meritree.demo") / "sample") as sample:
        shutil.copytree(sample, target, ignore=shutil.ignore_patterns("__pycache__", ".*cache"))
    _commit(target)
    return target


def _commit(repo: Path) -> None:
    from dulwich import porcelain

    who = b"Parcel <parcel@example.org>"
    porcelain.init(str(repo))
    names = [str(path) for path in sorted(repo.rglob("*")) if path.is_file()]
    inside = [name for name in names if ".git" not in Path(name).relative_to(repo).parts]
    porcelain.add(str(repo), inside)
    porcelain.commit(str(repo), message=b"Shipping quotes 2.3", author=who, committer=who)
