"""A repository as the search sees it: which Python files are code, which are tests.

Reads files only; knows nothing of git objects, test runs or edits.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from meritree.errors import BadInput

SKIPPED_FOLDERS = frozenset(
    [
        ".git",
        ".hg",
        ".svn",
        ".tox",
        ".nox",
        ".venv",
        "venv",
        "env",
        ".env",
        "__pycache__",
        "node_modules",
        "build",
        "dist",
        ".eggs",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
        ".idea",
        ".vscode",
        "site-packages",
        "meritree-runs",
    ]
)
_TEST_FOLDERS = frozenset({"test", "tests", "testing", "unittests", "unit_tests"})
_NOT_SUBJECT = frozenset({"setup.py", "conftest.py", "noxfile.py", "fabfile.py", "tasks.py"})
_NOT_SUBJECT_FOLDERS = frozenset({"docs", "doc", "examples", "benchmarks", "scripts", "tools"})


@dataclass(frozen=True, slots=True)
class Repository:
    """The Python files of a folder, decoded.

    Attributes:
        root: the folder, resolved.
        sources: path (relative, ``/`` separated) -> text of files that may be repaired.
        tests: the same for test files; they are never edited.
        skipped: path -> why a Python file cannot be repaired (unreadable, not text, syntax).
        encodings: path -> (encoding, newline) of each readable file.
    """

    root: Path
    sources: Mapping[str, str]
    tests: Mapping[str, str]
    skipped: Mapping[str, str]
    encodings: Mapping[str, tuple[str, str]]


def is_test_path(path: str) -> bool:
    """Whether a relative path names a test file by pytest's and unittest's conventions."""
    pure = PurePosixPath(path)
    name = pure.name
    if name == "conftest.py" or re.fullmatch(r"test.*\.py|.*_tests?\.py", name):
        return True
    return any(part.lower() in _TEST_FOLDERS for part in pure.parts[:-1])


def is_subject_path(path: str) -> bool:
    """Whether a relative path is code that a repair may change."""
    pure = PurePosixPath(path)
    if is_test_path(path) or pure.name in _NOT_SUBJECT:
        return False
    return pure.parts[0] not in _NOT_SUBJECT_FOLDERS or len(pure.parts) == 1


def open_repository(root: Path, *, any_language: bool = False) -> Repository:
    """Read the Python files below ``root``.

    Args:
        any_language: a repository without Python files is one all the same.

    Raises:
        BadInput: no such folder, a file instead of a folder, or no Python file in it.
    """
    root = root.expanduser()
    if not root.exists():
        raise BadInput(f"no such path: {root}; give the folder of the repository to fix")
    if not root.is_dir():
        raise BadInput(f"{root} is a file; give the folder of the repository, not one file")
    root = root.resolve()
    sources: dict[str, str] = {}
    tests: dict[str, str] = {}
    skipped: dict[str, str] = {}
    encodings: dict[str, tuple[str, str]] = {}
    for path in sorted(_python_files(root)):
        relative = path.relative_to(root).as_posix()
        text, form, problem = _read(path)
        if problem:
            skipped[relative] = problem
        if text is None:
            continue
        encodings[relative] = form
        if is_subject_path(relative):
            if not problem:
                sources[relative] = text
        elif is_test_path(relative):
            tests[relative] = text
    if not sources and not tests and not skipped and not any_language:
        raise BadInput(
            f"{root} holds no Python code; `meritree fix` repairs Python repositories "
            "(is this the right folder?)"
        )
    return Repository(root, sources, tests, skipped, encodings)


def words_of(command: str) -> frozenset[str]:
    """The words of a test command, as paths would be written."""
    try:
        return frozenset(PurePosixPath(word).as_posix() for word in shlex.split(command))
    except ValueError:  # quotes that do not end: whoever runs the command says so
        return frozenset()


def judged_by(repository: Repository, command: str) -> Repository:
    """The same repository; files that the test command names are tests: they judge, nobody edits.

    A repository whose only code is named there stays as it is.
    """
    words = words_of(command)
    named = words & repository.sources.keys()
    if not named or named == repository.sources.keys():
        return repository
    programs = {path: repository.sources[path] for path in sorted(named)}
    sources = {path: text for path, text in repository.sources.items() if path not in named}
    return replace(repository, sources=sources, tests={**repository.tests, **programs})


def _python_files(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = sorted(
            n
            for n in names
            if n not in SKIPPED_FOLDERS
            and not n.endswith(".egg-info")
            and not (Path(folder) / n / "pyvenv.cfg").exists()
        )
        for name in files:
            if name.endswith(".py"):
                yield Path(folder) / name


def _read(path: Path) -> tuple[str | None, tuple[str, str], str]:
    """Return (text, (encoding, newline), problem); text is None when it cannot be read."""
    from meritree.swe.source_text import read_source

    form = ("utf-8", "\n")
    try:
        data = path.read_bytes()
    except OSError as error:
        return None, form, f"cannot be read: {error.strerror}"
    if b"\0" in data:
        return None, form, "is not text (it holds NUL bytes)"
    try:
        text, encoding, newline = read_source(data)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        return None, form, f"cannot be decoded: {error}"
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 0
        return text, (encoding, newline), f"syntax error on line {line}: {error}"
    return text, (encoding, newline), ""
