"""Which files of a working folder belong to it: what git would add, or a plain folder's code.

Only lists files and reads ignore rules (through dulwich, never through the git program, whose
configuration can start programs); writes nothing.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FILE_BYTES = 20_000_000

_NEVER = frozenset({".git", ".hg", ".svn"})
_CACHES = frozenset(
    {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"}
    | {".tox", ".nox", ".venv", "meritree-runs", ".DS_Store"}
)
_BUILD_OUTPUT = frozenset({"build", "dist", ".eggs", "node_modules", "site-packages", "venv"})


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to store: path relative to the root with ``/``, and its git mode."""

    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class _Rules:
    """What to leave out: ``ignored(path, is_folder)``; files in ``tracked`` are always in."""

    ignored: Callable[[str, bool], bool]
    tracked: frozenset[str]
    excluded: Callable[[str, bool], bool]  # by the caller: even tracked files


def scan_folder(root: Path, ignore: Iterable[str] = ()) -> tuple[list[FoundFile], dict[str, str]]:
    """List the files of a working folder as they are on disk now.

    In a git repository (or a folder inside one): tracked files, and untracked ones that no
    ignore rule names. Elsewhere: everything but caches, virtual environments, version control
    and build output. Files in submodules count as plain files.

    Args:
        root: the folder.
        ignore: further patterns to leave out, in the language of ``.gitignore``.

    Returns:
        The files sorted by path, and path -> reason for what cannot be stored (too large,
        unreadable, not a file).
    """
    rules = _rules(root, ignore)
    skipped: dict[str, str] = {}
    found = {file.path: file for file in _walk(root, "", rules, skipped)}
    for path in rules.tracked - found.keys() - skipped.keys():  # inside ignored folders
        parents = path.split("/")[:-1]
        inside_link = any(
            (root / "/".join(parents[: i + 1])).is_symlink() for i in range(len(parents))
        )
        if not inside_link and not rules.excluded(path, False):
            file = _examine(root, path, skipped)
            if file is not None:
                found[path] = file
    return [found[path] for path in sorted(found)], skipped


def _walk(root: Path, below: str, rules: _Rules, skipped: dict[str, str]) -> Iterator[FoundFile]:
    try:
        with os.scandir(root / below) as entries:
            listing = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        skipped[below or "."] = f"folder cannot be read: {error.strerror}"
        return
    for entry in listing:
        path = below + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name in _NEVER or rules.excluded(path, is_folder):
            continue
        if is_folder:
            virtual = os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
            if not virtual and not rules.ignored(path, True):
                yield from _walk(root, path + "/", rules, skipped)
        elif path in rules.tracked or not rules.ignored(path, False):
            file = _examine(root, path, skipped)
            if file is not None:
                yield file


def _examine(root: Path, path: str, skipped: dict[str, str]) -> FoundFile | None:
    try:
        status = os.lstat(root / path)
    except OSError:
        return None  # tracked but deleted on disk: the state does not have it
    if stat.S_ISLNK(status.st_mode):
        return FoundFile(path, 0o120000)
    if stat.S_ISDIR(status.st_mode):
        return None  # a submodule: its files were found by walking
    if not stat.S_ISREG(status.st_mode):
        skipped[path] = "not a regular file (socket, pipe or device)"
    elif status.st_size > MAX_FILE_BYTES:
        skipped[path] = f"larger than {MAX_FILE_BYTES // 1_000_000} MB ({status.st_size} bytes)"
    else:
        return FoundFile(path, 0o100755 if status.st_mode & stat.S_IXUSR else 0o100644)
    return None


def _rules(root: Path, ignore: Iterable[str]) -> _Rules:
    excluded = _pattern_filter(ignore)
    git = _git_rules(root)
    if git is None:
        dropped = _CACHES | _BUILD_OUTPUT
        return _Rules(lambda path, _: _is_named(path, dropped), frozenset(), excluded)
    ignored, tracked = git
    return _Rules(
        lambda path, folder: _is_named(path, _CACHES) or ignored(path, folder), tracked, excluded
    )


def _is_named(path: str, names: frozenset[str]) -> bool:
    name = path.rpartition("/")[2]
    return name in names or name.endswith((".pyc", ".pyo"))


def _pattern_filter(patterns: Iterable[str]) -> Callable[[str, bool], bool]:
    lines = [os.fsencode(pattern) for pattern in patterns]
    if not lines:
        return lambda path, folder: False
    from dulwich.ignore import IgnoreFilter

    matcher = IgnoreFilter(lines)
    return lambda path, folder: bool(matcher.is_ignored(os.fsencode(path + "/" * folder)))


def _git_rules(root: Path) -> tuple[Callable[[str, bool], bool], frozenset[str]] | None:
    """Ignore rules and tracked files if ``root`` belongs to a git repository, else None."""
    from dulwich.errors import NotGitRepository
    from dulwich.ignore import IgnoreFilterManager
    from dulwich.repo import Repo

    try:
        repo = Repo.discover(str(root))
    except (NotGitRepository, OSError, ValueError):
        return None
    with repo:
        if repo.bare:
            return None
        try:
            prefix = root.resolve().relative_to(Path(repo.path).resolve()).as_posix() + "/"
        except ValueError:
            return None
        prefix = "" if prefix == "./" else prefix
        tracked = _tracked(repo, prefix)
        if prefix and not tracked:
            return None  # a folder that only happens to lie below somebody's repository
        manager = IgnoreFilterManager.from_repo(repo)
    return (
        lambda path, folder: bool(manager.is_ignored(prefix + path + "/" * folder)),
        tracked,
    )


def _tracked(repo: object, prefix: str) -> frozenset[str]:
    from dulwich.errors import NoIndexPresent
    from dulwich.repo import Repo

    assert isinstance(repo, Repo)
    try:
        paths = [os.fsdecode(path) for path in repo.open_index()]
    except (NoIndexPresent, OSError, ValueError, AssertionError, struct.error, LookupError):
        return frozenset()  # no index, or one of a kind dulwich does not read: rules alone decide
    return frozenset(path[len(prefix) :] for path in paths if path.startswith(prefix))
