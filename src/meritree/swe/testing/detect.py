"""Finds out how a repository's tests are run, and with which interpreter.

Reads files only; starts nothing.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from meritree.errors import BadInput
from meritree.swe.testing.types import TestCommand

_INI_FILES = (
    ("pytest.toml", "pytest"), (".pytest.toml", "pytest"),
    ("pytest.ini", "pytest"), (".pytest.ini", "pytest"),
    ("pyproject.toml", "tool.pytest"), ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest"),
)  # fmt: skip
_SKIPPED = frozenset(
    (".git", ".venv", "venv", ".tox", ".nox", "node_modules", "build", "dist", "__pycache__")
)
# Options that start processes, write files, change the order or the output, with and without
# a value of their own: they say nothing about what is tested.
_ALONE = re.compile(
    r"-[xsvqlrV]+|-r\w+|--(exitfirst|verbose|quiet|lf|last-failed|ff|failed-first|nf|new-first|sw|"
    r"stepwise|no-cov|no-cov-on-fail|cov|cov-append|cov-branch|random-order|strict|strict-config|"
    r"showlocals|pdb|trace|no-header|no-summary|benchmark-\w[\w-]*|timeout-disable-debugger-\w*|"
    r"mypy|ruff|flake8|black|isort|pylint|pydocstyle|pycodestyle)"
)
_VALUED = re.compile(
    r"-n|--(numprocesses|dist|maxprocesses|maxfail|cov-report|cov-config|cov-fail-under|"
    r"cov-context|durations|durations-min|junit-xml|junitxml|html|tb|color|capture|show-capture|"
    r"random-order-bucket|random-order-seed|randomly-seed|reruns|reruns-delay|timeout|"
    r"timeout-method|timeout-func-only|log-cli-level|log-file|basetemp|verbosity|max-worker-restart)"
)


def parse_command(text: str, root: Path) -> TestCommand:
    """Understand a ``--test`` string.

    ``pytest ARGS``, ``python -m pytest ARGS`` and ``python -m unittest ARGS`` run inside the
    harness; anything else is run as it is (without a shell) and judged by its exit code.

    Raises:
        BadInput: empty, or quotes are not balanced.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadInput(f"--test {text!r}: {error}") from None
    if not words:
        raise BadInput("--test is empty; give a command such as `pytest tests`")
    runner, rest = _runner(words)
    if runner == "pytest":
        return _pytest_command(root, clean_options(rest), text)
    if runner == "unittest":
        return _pytest_command(root, _unittest_arguments(rest, root), text, kind="unittest")
    return TestCommand("plain", tuple(words), text, source_roots(root))


def _runner(words: Sequence[str]) -> tuple[str, list[str]]:
    first = os.path.basename(words[0])
    if first in ("pytest", "py.test"):
        return "pytest", list(words[1:])
    is_python = re.fullmatch(r"python[\d.]*", first) is not None
    if is_python and list(words[1:2]) == ["-m"] and words[2:3]:
        module = {"pytest": "pytest", "py.test": "pytest", "unittest": "unittest"}.get(words[2], "")
        return module, list(words[3:])
    return "", []


def _unittest_arguments(rest: Sequence[str], root: Path) -> tuple[str, ...]:
    """Pytest arguments for what ``python -m unittest`` was told to run."""
    found: list[str] = []
    words = [w for w in rest if w != "discover"]
    while words:
        word = words.pop(0)
        if word in ("-s", "--start-directory", "-t", "--top-level-directory", "-p", "--pattern"):
            value = words.pop(0) if words else "."
            if word in ("-s", "--start-directory"):
                found.append(value)
            elif word in ("-p", "--pattern"):
                found += ["-o", f"python_files={value}"]
        elif not word.startswith("-"):
            found.append(_dotted(word, root))
    if not any(a.startswith("python_files=") for a in found):
        found += ["-o", "python_files=test*.py"]
    return tuple(found)


def _dotted(word: str, root: Path) -> str:
    """``tests.test_a.Case.test_x`` as a pytest node id, paths unchanged."""
    if os.path.exists(root / word):
        return word
    parts = word.split(".")
    for count in () if "/" in word else range(len(parts), 0, -1):
        stem = root.joinpath(*parts[:count])
        module = Path(f"{stem}.py")
        if os.path.isfile(module):  # unlike Path's, false also for names that no disk allows
            return "::".join([module.relative_to(root).as_posix(), *parts[count:]])
        if os.path.isdir(stem):
            return stem.relative_to(root).as_posix()
    raise BadInput(f"--test: {word} names neither a file nor a module of {root}")


def detect_command(root: Path) -> TestCommand:
    """How the tests of a repository are run, by its configuration and its files.

    Raises:
        BadInput: there is nothing that looks like a test.
    """
    configured = _configuration(root)[0] is not None
    files = list(test_files_of(root))
    if not configured and not files and not list(root.glob("**/conftest.py")):
        raise BadInput(
            "no tests found: there is no pytest configuration, no test_*.py and no *_test.py; "
            "give the test command with --test"
        )
    if not configured and files and all(_is_unittest(f) for f in files):
        return _pytest_command(root, (), "python -m unittest", kind="unittest")
    return _pytest_command(root, (), "pytest")


def _pytest_command(
    root: Path, arguments: Sequence[str], text: str, kind: str = "pytest"
) -> TestCommand:
    inifile, addopts = _configuration(root)
    return TestCommand(
        "unittest" if kind == "unittest" else "pytest",
        tuple(arguments),
        text,
        source_roots(root),
        clean_options(addopts) if addopts is not None else None,
        inifile,
    )


def test_files_of(root: Path) -> Iterator[Path]:
    """Files that look like tests by their names."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in _SKIPPED and not n.startswith("."))
        for name in sorted(files):
            if name.endswith(".py") and (name.startswith("test") or name.endswith("_test.py")):
                yield Path(folder, name)


def _is_unittest(file: Path) -> bool:
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return False
    return "TestCase" in text and "pytest" not in text


def _configuration(root: Path) -> tuple[str | None, list[str] | None]:
    """The pytest configuration file (relative) and its addopts, in pytest's own order."""
    for name, section in _INI_FILES:
        path = root / name
        if not path.is_file():
            continue
        values = _toml(path, section) if name.endswith(".toml") else _ini(path, section)
        if values is None and name in ("pytest.ini", ".pytest.ini"):
            values = {}
        if values is not None:
            addopts = values.get("addopts")
            if isinstance(addopts, str):
                try:
                    addopts = shlex.split(addopts)
                except ValueError as error:
                    raise BadInput(f"{path}: addopts = {addopts!r}: {error}") from None
            return name, [str(a) for a in addopts] if isinstance(addopts, list) else None
    return None, None


def _toml(path: Path, section: str) -> dict[str, object] | None:
    try:
        table: object = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    for part in section.split("."):
        table = table.get(part) if isinstance(table, dict) else None
    if isinstance(table, dict) and isinstance(table.get("ini_options"), dict):
        return dict(table["ini_options"])
    return dict(table) if isinstance(table, dict) else None


def _ini(path: Path, section: str) -> dict[str, object] | None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(path, "utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    return dict(parser[section]) if parser.has_section(section) else None


def clean_options(options: Sequence[str]) -> tuple[str, ...]:
    """Options that decide what is tested; drops those about processes, reports and order."""
    kept: list[str] = []
    words = list(options)
    while words:
        word = words.pop(0)
        name, equals, _ = word.partition("=")
        if word.startswith("-n") and re.fullmatch(r"-n(\d+|auto|logical)", word):
            continue
        if _VALUED.fullmatch(name):
            if not equals and words:
                words.pop(0)
            continue
        if _ALONE.fullmatch(name):
            continue
        kept.append(word)
        if word in ("-k", "-m", "-p", "-o", "-W", "-c", "--ignore", "--deselect") and words:
            kept.append(words.pop(0))
    return tuple(kept)


def source_roots(root: Path) -> tuple[str, ...]:
    """Folders whose modules must be importable, as an editable installation would make them."""
    found = []
    for name in ("src", "lib", "python"):
        folder = root / name
        if folder.is_dir() and not (folder / "__init__.py").is_file() and _holds_code(folder):
            found.append(name)
    return (*found, ".")


def _holds_code(folder: Path) -> bool:
    return any(folder.glob("*.py")) or any(folder.glob("*/*.py"))


def detect_python(root: Path, given: Path | None = None) -> Path:
    """The interpreter for the tests: given, the repository's own, the active one, ours.

    Raises:
        BadInput: the given one does not exist.
    """
    if given is not None:
        if not given.is_file():
            raise BadInput(f"--python {given}: no such file")
        return given.absolute()
    for name in (".venv", "venv"):
        python = root / name / "bin" / "python"
        if python.is_file():
            return python
    active = os.environ.get("VIRTUAL_ENV")
    if active and (Path(active) / "bin" / "python").is_file():
        return Path(active) / "bin" / "python"
    return Path(sys.executable)
