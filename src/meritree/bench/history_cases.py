"""A real bug as data: a fixing commit of a local repository, and the bug rebuilt from it.

Reads git objects with the `git` program and writes folders; runs no test, knows nothing of
how such commits are found or how a repair is judged.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from meritree.errors import BadInput


@dataclass(frozen=True, slots=True)
class Case:
    """One real bug: a fixing commit whose source file is put back to its parent's text.

    Attributes:
        name: project and short commit, unique in a list.
        repo: the git repository (a clone or a bare folder).
        commit, parent: full hashes of the fix and of the state before it.
        source: the one source file that the fix changed.
        tests: test files to run: those the fix changed, and the module's own.
        failing: node ids that fail without the fix and pass with it, each seen twice.
        passing: how many tests of those files pass with and without the fix.
        diff: the developer's change of the source file, as a unified diff.
        subject: first line of the commit's message.
        date: the commit's date, ``YYYY-MM-DD``.
        lines, hunks: size of the change, counted as in `Limits`.
        seconds: wall-clock seconds of one run of the test files.
    """

    name: str
    repo: str
    commit: str
    parent: str
    source: str
    tests: tuple[str, ...]
    failing: tuple[str, ...] = ()
    passing: int = 0
    diff: str = ""
    subject: str = ""
    date: str = ""
    lines: int = 0
    hunks: int = 0
    seconds: float = 0.0

    def materialise(self, folder: Path, *, fixed: bool = False) -> Path:
        """Write the buggy state (or, with ``fixed``, the developer's) below ``folder``.

        It is the fixing commit's tree, so its tests are there, with the source file put
        back to the parent's text.
        """
        checkout(Path(self.repo), self.commit, folder)
        if not fixed:
            (folder / self.source).write_bytes(
                show(Path(self.repo), f"{self.parent}:{self.source}")
            )
        return folder

    def developer_text(self) -> str:
        """The source file as the developer left it."""
        return show(Path(self.repo), f"{self.commit}:{self.source}").decode("utf-8", "replace")

    def buggy_text(self) -> str:
        """The source file before the fix."""
        return show(Path(self.repo), f"{self.parent}:{self.source}").decode("utf-8", "replace")

    @property
    def part(self) -> str:
        """``"validation"`` for a third of all commits, else ``"dev"``: fixed by the hash."""
        digest = hashlib.sha256(self.commit.encode()).digest()
        return "validation" if digest[0] % 3 == 0 else "dev"


def save_cases(path: Path, cases: Sequence[Case]) -> None:
    """Write cases as a JSON list, sorted by name, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(c) for c in sorted(cases, key=lambda c: c.name)], indent=1)
    temporary = path.with_suffix(".part")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def load_cases(path: Path) -> list[Case]:
    """Read a list written by `save_cases`.

    Raises:
        BadInput: no such file, or not such a list.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [
            Case(**{**row, "tests": tuple(row["tests"]), "failing": tuple(row["failing"])})
            for row in rows
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise BadInput(
            f"{path} is not a list of cases ({why}); make one with "
            "`meritree bench histories --repo PATH --cases FILE`"
        ) from error


def project_name(repo: Path) -> str:
    """A short name of a repository: its folder's, without ``.git``, owner or ``repo``."""
    name = repo.name.removesuffix(".git")
    if name in {"repo", ""}:
        name = repo.parent.name
    return name.rsplit("+", 1)[-1]


def checkout(repo: Path, commit: str, folder: Path) -> None:
    """Write the tree of ``commit`` below ``folder`` (which may not exist yet)."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="meritree-index-") as name:
        place = {
            **os.environ,
            "GIT_DIR": git(repo, "rev-parse", "--absolute-git-dir").strip(),
            "GIT_WORK_TREE": str(folder.resolve()),
            "GIT_INDEX_FILE": str(Path(name) / "index"),
        }
        git(folder, "read-tree", commit, env=place)
        try:
            git(folder, "checkout-index", "-a", "-f", env=place)
        except BadInput as error:
            # A partial clone may lack large blobs; all other files have been written.
            if "unable to read sha1 file" not in str(error):
                raise


def code_lines(text: str) -> list[str] | None:
    """The code of a file as lines: no comments, docstrings, annotations or layout.

    Returns None when the text is not valid Python for the running interpreter.
    """
    tree = normalised(text)
    return None if tree is None else ast.unparse(tree).split("\n")


def normalised(text: str) -> ast.Module | None:
    """Parse and drop what does not act: docstrings and annotations of arguments and results."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            if len(body) > 1:
                del body[0]
            else:
                body[0].value.value = None
    return tree


def change_size(before: Sequence[str], after: Sequence[str]) -> tuple[int, int]:
    """(changed lines, places): removed and added lines together, and how many blocks."""
    blocks = [
        code
        for code in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if code[0] != "equal"
    ]
    return sum(i2 - i1 + j2 - j1 for _, i1, i2, j1, j2 in blocks), len(blocks)


def show(repo: Path, spec: str) -> bytes:
    answer = subprocess.run(["git", "-C", str(repo), "show", spec], capture_output=True)
    if answer.returncode:
        raise BadInput(f"git cannot show {spec} of {repo}: {answer.stderr.decode().strip()}")
    return answer.stdout


def git(repo: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    command = ["git", "-C", str(repo), *arguments]
    answer = subprocess.run(command, capture_output=True, env=env)
    if answer.returncode:
        message = answer.stderr.decode("utf-8", "replace").strip()
        raise BadInput(f"git {arguments[0]} failed in {repo}: {message or 'no message'}")
    return answer.stdout.decode("utf-8", "replace")
