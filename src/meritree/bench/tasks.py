"""A repair task with a known answer: package, injected fault, shown and hidden tests.

Data and its JSON form, and how a task becomes a repository; how faults are found is the
business of `injected`.
"""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from meritree.errors import BadInput
from meritree.swe.edits import Splice, apply_splices

FORMAT = 1
HIDING = '''"""Hides the held-out tests of a benchmark task (their ids as hashes)."""

import hashlib

HIDDEN = frozenset({hidden})


def pytest_collection_modifyitems(config, items):
    def hidden(item):
        return hashlib.sha256(item.nodeid.encode()).hexdigest()[:16] in HIDDEN

    config.hook.pytest_deselected(items=[item for item in items if hidden(item)])
    items[:] = [item for item in items if not hidden(item)]
'''


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected slip, for reports: kind, place and words."""

    kind: str
    path: str
    line: int
    function: str
    words: str


@dataclass(frozen=True, slots=True)
class Task:
    """A fault, what shows it, and what is kept back to judge a repair.

    Attributes:
        id: unique in its list.
        package, version: of the catalogue.
        faults: one or two slips.
        edits: path -> (start, end, replacement) in the original text, sorted.
        diff: the same for people, unified, original to faulty.
        shown: failing tests that the repair may see.
        held_out: failing tests that it never sees; empty where only one test fails.
        broken_before: tests that fail without the fault; hidden too.
        seed: of the list.
    """

    id: str
    package: str
    version: str
    faults: tuple[Fault, ...]
    edits: Mapping[str, tuple[tuple[int, int, str], ...]]
    diff: str
    shown: tuple[str, ...]
    held_out: tuple[str, ...]
    broken_before: tuple[str, ...]
    seed: int

    @property
    def hidden(self) -> tuple[str, ...]:
        """Every test that the search must not see."""
        return (*self.held_out, *self.broken_before)

    @property
    def kinds(self) -> str:
        """The kinds of its slips, joined by ``+``."""
        return "+".join(fault.kind for fault in self.faults)

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """The reverse of `to_json`.

        Raises:
            BadInput: a field is missing or unknown.
        """
        try:
            plain = dict(data)
            plain["faults"] = tuple(Fault(**fault) for fault in plain["faults"])
            plain["edits"] = {
                path: tuple((int(a), int(b), str(c)) for a, b, c in splices)
                for path, splices in plain["edits"].items()
            }
            for field in ("shown", "held_out", "broken_before"):
                plain[field] = tuple(plain[field])
            return cls(**plain)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"not a benchmark task ({error}); generate the list again") from error


def inject(task: Task, root: Path) -> None:
    """Turn a clean layout into the task's repository: fault in, held-out tests hidden.

    Raises:
        BadInput: a file of the layout is missing or has another text than expected.
    """
    for path, splices in task.edits.items():
        file = root / path
        if not file.is_file():
            raise BadInput(f"{task.id}: the layout has no {path}; is it {task.package}?")
        with file.open(encoding="utf-8", newline="") as stream:
            text = stream.read()
        changed = apply_splices(text, tuple(Splice(*splice) for splice in splices))
        file.write_bytes(changed.encode())
    hide(root, task.hidden)


def hide(root: Path, tests: Sequence[str]) -> None:
    """Take the functions of tests out of their files and deselect them by a ``conftest.py``.

    Line numbers stay. Text that others need stays too: of a parametrized test, of a method that
    another class inherits, of a function that is used elsewhere in its file.
    """
    for path in hidden_files(tests):
        names = {tuple(t.split("::")[1:]) for t in tests if t.startswith(f"{path}::")}
        file = root / path
        if file.is_file():
            file.write_bytes(_without(file.read_bytes(), names))
    digests = sorted(hashlib.sha256(test.encode()).hexdigest()[:16] for test in tests)
    (root / "conftest.py").write_text(HIDING.replace("{hidden}", repr(digests)), encoding="utf-8")


def unhide(root: Path, clean: Path, tests: Sequence[str]) -> None:
    """Make every test visible again; the test files come from a clean layout."""
    (root / "conftest.py").unlink(missing_ok=True)
    for path in hidden_files(tests):
        if (clean / path).is_file():
            shutil.copyfile(clean / path, root / path)


def hidden_files(tests: Sequence[str]) -> tuple[str, ...]:
    """The files that hold tests, from the tests' ids."""
    return tuple(dict.fromkeys(test.split("::")[0] for test in tests if "::" in test))


def _without(source: bytes, names: Collection[tuple[str, ...]]) -> bytes:
    """A test file whose functions of these (class and) names are blank lines and a ``pass``."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    lines = source.splitlines(keepends=True)
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    used |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    bodies: list[tuple[tuple[str, ...], list[ast.stmt]]] = [((), tree.body)]
    heirless = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name not in used)
    bodies += [((node.name,), node.body) for node in heirless]  # others' methods are inherited
    for owner, body in bodies:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if (*owner, node.name) not in names or node.name in used:
                continue
            assert node.end_lineno is not None
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
            for number in range(first, node.end_lineno):
                lines[number] = b"\n"
            lines[first] = b" " * node.col_offset + b"pass\n"
    return b"".join(lines)


def save(tasks: Sequence[Task], path: Path, *, about: Mapping[str, Any]) -> None:
    """Write a task list as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"format": FORMAT, **about, "tasks": [task.to_json() for task in tasks]}
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load(path: Path) -> tuple[Task, ...]:
    """Read a task list.

    Raises:
        BadInput: no such file, or not a task list of this format.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise BadInput(
            f"{path}: no readable task list ({why}); `meritree bench repair --out DIR` writes one, "
            "DIR/tasks.json"
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BadInput(f"{path}: not a task list of format {FORMAT}")
    return tuple(Task.from_json(task) for task in document["tasks"])


def list_hash(tasks: Sequence[Task]) -> str:
    """A short hash of a task list, for provenance."""
    text = json.dumps([task.to_json() for task in tasks], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
