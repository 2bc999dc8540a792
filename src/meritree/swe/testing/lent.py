"""Our own pytest, lent to an interpreter that has none.

pytest and what it needs are plain Python, so a copy of ours runs wherever its version of Python
is supported. Knows nothing about sessions or tests.
"""

from __future__ import annotations

import importlib.metadata
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement

from meritree.errors import BadInput, MeritreeError
from meritree.swe.testing.sandbox import Launcher
from meritree.swe.testing.types import TestCommand

# Importing it would take five times as long.
_LOOK = "import importlib.util as u, sys; sys.exit(u.find_spec('pytest') is None)"
# Imports all of it, so that the bytecode of a copy is there when the first process starts.
_PROBE = (
    "import sys; sys.path.extend(sys.argv[1:]); import pytest, _pytest.config as c; "
    "from importlib.metadata import version; c.get_config(); version('pluggy')"
)


def has_pytest(python: Path, launcher: Launcher, scratch: Path) -> bool:
    """Whether pytest is installed there. The interpreter may be the repository's: confined.

    Raises:
        BadInput: the interpreter does not start.
    """
    return _runs(python, launcher, scratch, "-I", "-c", _LOOK)


def _runs(python: Path, launcher: Launcher, scratch: Path, *arguments: str) -> bool:
    scratch.mkdir(parents=True, exist_ok=True)
    command = [str(python), *arguments]
    try:
        process = launcher.launch(command, cwd=scratch, writable=[scratch], env={})
    except MeritreeError as error:
        raise BadInput(f"--python {python}: cannot be run ({error})") from None
    try:
        return process.wait(60) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise BadInput(f"--python {python}: cannot be run (silent for 60 s)") from None


def lend_pytest(python: Path, launcher: Launcher, folder: Path) -> Path | None:
    """Copy our pytest and what it needs below ``folder``; None if it does not run there."""
    lent = folder / "lent-pytest"
    shutil.rmtree(lent, ignore_errors=True)
    lent.mkdir(parents=True)
    for distribution in _with_requirements("pytest"):
        for file in distribution.files or ():
            # Of the metadata only names and versions: plug-ins stay those of the interpreter.
            wanted = (file.suffix == ".py" and ".." not in file.parts) or file.name == "METADATA"
            if wanted and file.locate().is_file():  # type: ignore[attr-defined]
                target = lent / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)
    return lent if _runs(python, launcher, lent, "-c", _PROBE, str(lent)) else None


def _with_requirements(name: str) -> Iterator[importlib.metadata.Distribution]:
    """A distribution and, once each, all that it requires here."""
    todo, seen = [name], {name}
    while todo:
        try:
            found = importlib.metadata.distribution(todo.pop())
        except importlib.metadata.PackageNotFoundError:
            continue  # a requirement of another version of Python
        yield found
        for text in found.requires or ():
            needed = Requirement(text)
            here = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if here and needed.name not in seen:
                seen.add(needed.name)
                todo.append(needed.name)


def without_pytest(command: TestCommand, python: Path) -> tuple[TestCommand, str]:
    """How the tests are run where ours does not run either, and what to say about it.

    Raises:
        BadInput: the tests are not unittest's.
    """
    install = f"`{python} -m pip install pytest`"
    if command.kind != "unittest":
        raise BadInput(
            f"{python} cannot import pytest, nor run the one of meritree; install it there "
            f"({install}) or name another interpreter with --python"
        )
    words = shlex.split(command.text)[3:] or ["discover"]
    plain_command = replace(
        command, kind="plain", arguments=(str(python), "-m", "unittest", *words)
    )
    return plain_command, (
        f"{python} has no pytest: all tests run as one program and every candidate in a new "
        f"process, about one a second; {install} makes it some hundred times faster"
    )
