"""A copy of a repository in which bash commands run, confined, and the files that they leave.

Each step begins from a state of the object store and ends as one: what is kept between steps is
text files, nothing else. Knows no agent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from meritree.errors import BadInput, MeritreeError
from meritree.run.sandbox import Limits, Sandbox
from meritree.swe.agent.situation import LARGEST, Changes, Files
from meritree.swe.folder_scan import scan_folder
from meritree.swe.source_text import read_source

# Python starts the shell, so that its environment's packages are visible inside.
_START = "import os, sys; os.execv('/bin/bash', ['bash', '-c', 'exec 2>&1\\n' + sys.argv[1]])"
_ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PAGER": "cat",
    "MANPAGER": "cat",
    "LESS": "-R",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PIP_PROGRESS_BAR": "off",
    "TQDM_DISABLE": "1",
}
_LINK = 0o120000


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended.

    Attributes:
        output: of both streams, as text; the middle is dropped where it is very long.
        returncode: -1 where it was stopped.
        problem: why it was stopped, empty otherwise.
    """

    output: str
    returncode: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """The files after a step: how they differ from the start, and what is not kept."""

    changes: Changes
    dropped: tuple[str, ...] = ()


class Template:
    """The starting files as a git repository of one commit, from which copies are made."""

    def __init__(self, files: Files, folder: Path) -> None:
        self.files = files
        self.folder = folder
        files.store.materialise(files.base, folder)
        _commit(folder)


class Shell:
    """One worker's place; used by one thread at a time.

    Args:
        template: where copies come from.
        place: where the copy is; the same path for every step.
        python: first on the PATH of commands.
        seconds: wall clock of one command.
    """

    def __init__(
        self, template: Template, place: Path, sandbox: Sandbox, python: Path, seconds: float = 60.0
    ) -> None:
        self.files = template.files
        self.place = place
        self.seconds = seconds
        self._template = template.folder
        self._sandbox = sandbox
        self._python = python
        path = os.pathsep.join([str(python.parent), "/usr/local/bin", "/usr/bin", "/bin"])
        self._environment = {**_ENVIRONMENT, "PATH": path}

    def begin(self, changes: Changes) -> None:
        """Make the copy what a state's files are."""
        self.end()
        shutil.copytree(self._template, self.place, symlinks=True)
        tree, real = self.files.named(changes)
        for path, text in real.items():
            file = self.place / path
            if text is None:
                file.unlink(missing_ok=True)
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.files.store.read(tree, path))

    def run(self, command: str) -> Ran:
        """Run one command in the copy: no network, nothing else writable.

        Raises:
            SandboxError: nothing can be started here at all.
        """
        if "\0" in command:
            return Ran("", -1, "the command holds a NUL character")
        if len(command) > 100_000:
            return Ran("", -1, f"the command has {len(command)} characters; at most 100000")
        done = self._sandbox.run(
            [str(self._python), "-I", "-c", _START, command],
            cwd=self.place,
            writable=[self.place],
            env=self._environment,
            limits=Limits(wall_seconds=self.seconds),
        )
        output = (done.stdout + done.stderr).decode("utf-8", "replace")
        if done.timed_out:
            return Ran(output, -1, f"the command was stopped after {self.seconds:g} seconds")
        return Ran(output, done.returncode)

    def left(self) -> Left:
        """The files as the commands left them.

        What a program of ours reads of the copy is files only, never its git folder: that is put
        back before anything looks at it.
        """
        self._mend_git_folder()
        found, skipped = scan_folder(self.place)
        changes: dict[str, str | None] = {}
        dropped = [f"{path} ({why})" for path, why in skipped.items()]
        store, base = self.files.store, self.files.base
        known = set(store.paths(base))
        for file in found:
            before = store.read(base, file.path) if file.path in known else None
            now = _content(self.place / file.path, file.mode)
            if now == before or now is None:
                continue
            text = None if file.mode == _LINK else _text(now)
            if text is None:
                dropped.append(f"{file.path} (not a text file)")
            elif text != self.files.original(file.path):
                changes[file.path] = text
        for path in sorted(known - {file.path for file in found} - skipped.keys()):
            if self.files.original(path) is None:
                dropped.append(f"{path} (not a text file, so it cannot be deleted)")
            else:
                changes[path] = None
        return Left(changes, tuple(sorted(dropped)))

    def end(self) -> None:
        """Remove the copy."""
        shutil.rmtree(self.place, ignore_errors=True)

    def _mend_git_folder(self) -> None:
        own, kept = self.place / ".git", self._template / ".git"
        if own.is_symlink() or own.is_file():
            own.unlink()
        shutil.rmtree(own, ignore_errors=True)
        if kept.is_dir():
            shutil.copytree(kept, own, symlinks=True)


def _commit(folder: Path) -> None:
    """One commit of all files; of a folder of ours, in which nothing has run yet."""
    who = dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "meritree")
    mail = dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "meritree@localhost")
    quiet = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    environment = {"PATH": os.environ.get("PATH", ""), **who, **mail, **quiet}
    for words in (
        ("init", "-q"),
        ("add", "-A", "-f"),
        ("commit", "-q", "--allow-empty", "--no-verify", "-m", "start"),
    ):
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, env=environment
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise MeritreeError(f"git {words[0]} failed in {folder}: {said}; is git installed?")


def _content(path: Path, mode: int) -> bytes | None:
    """A file's bytes, never through a link; None where it cannot be read."""
    if mode == _LINK:
        return os.fsencode(os.readlink(path))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as stream:
        return stream.read()


def _text(data: bytes) -> str | None:
    if len(data) > 4 * LARGEST or b"\0" in data:
        return None
    try:
        return read_source(data)[0]
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return None


def patched(shell: Shell, patch: str) -> Left | str:
    """The files of the start with a patch applied, or what git objects to."""
    shell.begin({})
    try:
        mark = "MERITREE_END_OF_PATCH"
        ends = patch if patch.endswith("\n") else f"{patch}\n"
        ran = shell.run(f"git apply <<'{mark}'\n{ends}{mark}")
        if ran.returncode:
            return " ".join(ran.output.split())[:300] or ran.problem
        return shell.left()
    except (BadInput, UnicodeEncodeError) as error:
        return str(error)
    finally:
        shell.end()


def is_patch(text: str) -> bool:
    """Whether a text looks like a patch in git's format."""
    return text.lstrip().startswith(("diff --git ", "--- a/"))


def listed(paths: Iterable[str]) -> str:
    """What is not kept, in words for the agent."""
    some = list(paths)
    more = f" and {len(some) - 5} more" if len(some) > 5 else ""
    return f"Not kept for the next step: {', '.join(some[:5])}{more}." if some else ""
