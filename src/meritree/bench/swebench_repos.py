"""Repositories and interpreters of SWE-bench instances, from folders of this machine.

Finds clones, writes a commit's files into a folder without any history (a clone knows the fix),
says which interpreter and test command belong to an instance. Uses no network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meritree.bench.history_cases import checkout, git
from meritree.bench.swebench_data import Problem
from meritree.errors import BadInput


def clone_of(repos: Path, repo: str) -> Path:
    """The clone of ``owner/name`` below a folder of clones, bare or not.

    Looked for, in this order: ``owner__name``, ``owner/name``, ``name``, each also with ``.git``.

    Raises:
        BadInput: there is none.
    """
    owner, name = repo.split("/", 1)
    names = (f"{owner}__{name}", f"{owner}/{name}", name)
    for one in (folder + end for folder in names for end in ("", ".git")):
        if (repos / one / "HEAD").is_file() or (repos / one / ".git").exists():
            return repos / one
    raise BadInput(
        f"--repos {repos}: no clone of {repo}; it is looked for as {', '.join(names)} (also with "
        f".git): git clone https://github.com/{repo} {repos / names[0]}"
    )


def check_commits(repos: Path, problems: Sequence[Problem]) -> None:
    """See that every clone and base commit is there before anything is run.

    Raises:
        BadInput: see above; the message names the first one that is missing.
    """
    if not repos.is_dir():
        raise BadInput(f"--repos {repos}: no such folder; give the folder that holds the clones")
    for problem in problems:
        clone = clone_of(repos, problem.repo)
        try:
            git(clone, "cat-file", "-e", f"{problem.base_commit}^{{commit}}")
        except BadInput:
            raise BadInput(
                f"{problem.id}: {clone} has no commit {problem.base_commit}; "
                f"git -C {clone} fetch origin {problem.base_commit}"
            ) from None


def materialise(repos: Path, problem: Problem, folder: Path) -> Path:
    """Write the files of the base commit into a new folder, without history.

    Raises:
        BadInput: no clone, or no such commit.
    """
    checkout(clone_of(repos, problem.repo), problem.base_commit, folder)
    return folder


@dataclass(frozen=True, slots=True)
class Environment:
    """How the tests of an instance are run.

    Attributes:
        python: interpreter with the project's dependencies; None: detected.
        test: test command of the search; empty: detected.
    """

    python: Path | None = None
    test: str = ""


@dataclass(frozen=True, slots=True)
class Environments:
    """Environments by instance, by ``owner/name@version``, by ``owner/name``, else the default."""

    table: dict[str, Environment]
    default: Environment

    def of(self, problem: Problem) -> Environment:
        """The most special one that fits."""
        for key in (problem.id, f"{problem.repo}@{problem.version}", problem.repo):
            if key in self.table:
                found = self.table[key]
                return Environment(found.python or self.default.python,
                                   found.test or self.default.test)  # fmt: skip
        return self.default


def read_environments(path: Path | None, default: Environment) -> Environments:
    """Read a mapping: ``{"owner/name@version": "python" or {"python": ..., "test": ...}}``.

    Relative interpreters are looked for beside the file.

    Raises:
        BadInput: it cannot be read, or an entry names no interpreter that is there.
    """
    if path is None:
        return Environments({}, default)
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"--environments {path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise BadInput(f'--environments {path}: {{"owner/name": "path of a python"}} is wanted')
    table = {key: _environment(path, key, value) for key, value in document.items()}
    return Environments(table, default)


def _environment(path: Path, key: str, value: Any) -> Environment:
    entry = {"python": value} if isinstance(value, str) else value
    wrong = f"--environments {path}: the entry {key!r}"
    if not isinstance(entry, dict) or not entry.keys() <= {"python", "test"}:
        raise BadInput(f"{wrong} must be a path, or an object with python and test")
    if not all(isinstance(one, str) and one for one in entry.values()):
        raise BadInput(f"{wrong}: python and test must be texts")
    python: Path | None = None
    if "python" in entry:
        python = interpreter(path.parent / os.path.expanduser(entry["python"]), f"{wrong}: ")
    return Environment(python, entry.get("test", ""))


def interpreter(path: Path, where: str) -> Path:
    """The interpreter as an absolute path; links are kept, they tell virtual environments.

    Raises:
        BadInput: no such file.
    """
    if not path.is_file():
        raise BadInput(f"{where}{path}: no such file; give a Python interpreter")
    return path.absolute()
