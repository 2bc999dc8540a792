"""SWE-bench instances from a local file, in the official schema (Lite, Verified, the full list).

Every row is split when it is read: what a search may see, and the answer, which it never does.
Reads files only; knows neither repositories nor searches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meritree.errors import BadInput

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_TEXTS = (
    "instance_id", "repo", "base_commit", "problem_statement", "patch", "test_patch",
)  # fmt: skip
_LISTS = ("FAIL_TO_PASS", "PASS_TO_PASS")
FORMATS = (".parquet", ".json", ".jsonl")


@dataclass(frozen=True, slots=True)
class Problem:
    """What a search may see of an instance.

    Attributes:
        id: as the official harness names it; safe as a folder's name.
        repo: ``owner/name``.
        base_commit: the commit that the issue was filed against.
        statement: the issue's text.
        version: of the project; chooses an interpreter (may be empty).
        setup_commit: the official environment's commit (may be empty).
    """

    id: str
    repo: str
    base_commit: str
    statement: str
    version: str = ""
    setup_commit: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What only a judge may see: the developers' patch, their tests, and hints of the thread.

    Attributes:
        patch: the developers' fix.
        test_patch: the tests that came with it.
        fail_to_pass: tests that must come to pass.
        pass_to_pass: tests that must go on passing.
        hints: what was said in the issue's thread; by the benchmark's rules not to be used.
    """

    patch: str
    test_patch: str
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    hints: str = ""


@dataclass(frozen=True, slots=True)
class Instance:
    """One row: problem, answer, and the row as it stood, for the official harness."""

    problem: Problem
    answer: Answer
    row: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The problem's."""
        return self.problem.id


def load_instances(path: Path) -> tuple[Instance, ...]:
    """Every instance of a file, in its order.

    Raises:
        BadInput: no such file, another format, or a row that is no instance; the message names
            the row, the field and what is wanted.
    """
    if not path.is_file():
        raise BadInput(
            f"--data {path}: no such file; give a local copy of SWE-bench Lite or Verified "
            f"({', '.join(FORMATS)})"
        )
    if path.suffix not in FORMATS:
        raise BadInput(f"--data {path}: unknown kind of file; it must end in {', '.join(FORMATS)}")
    rows = _parquet(path) if path.suffix == ".parquet" else _json(path)
    found: dict[str, Instance] = {}
    for number, row in enumerate(rows, 1):
        instance = _instance(row, f"{path}, row {number}")
        if instance.id in found:
            raise BadInput(f"{path}, row {number}: instance_id {instance.id!r} is there twice")
        found[instance.id] = instance
    if not found:
        raise BadInput(f"--data {path} holds no instance")
    return tuple(found.values())


def chosen(
    instances: Sequence[Instance], ids: Collection[str], limit: int | None
) -> tuple[Instance, ...]:
    """Those named (all when none is), the first ``limit`` of them.

    Raises:
        BadInput: a name that is not in the list, or a limit below 1.
    """
    if limit is not None and limit < 1:
        raise BadInput(f"--limit {limit}: must be at least 1")
    known = {instance.id for instance in instances}
    missing = sorted(set(ids) - known)
    if missing:
        raise BadInput(
            f"--instances {missing[0]}: the file has no such instance; it has {len(known)}, "
            f"such as {min(known)}"
        )
    named = [one for one in instances if not ids or one.id in ids]
    return tuple(named[:limit])


def _parquet(path: Path) -> Iterable[Any]:
    try:
        import pyarrow.parquet
    except ImportError:
        raise BadInput(
            f"--data {path}: reading parquet needs pyarrow: pip install 'meritree[swebench]', or "
            "give the same rows as .json or .jsonl"
        ) from None
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        said = str(error).splitlines()[0]
        raise BadInput(f"--data {path} is no readable parquet file: {said}") from None
    return list(table.to_pylist())


def _json(path: Path) -> Iterable[Any]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--data {path} cannot be read: {error}") from None
    if path.suffix == ".json":
        document = _parsed(text, str(path))
        if not isinstance(document, list):
            raise BadInput(f"{path}: a JSON list of instances is wanted, not {_kind(document)}")
        return document
    lines = enumerate(text.splitlines(), 1)
    return [_parsed(line, f"{path}, line {number}") for number, line in lines if line.strip()]


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is no JSON: {error}") from None


def _instance(row: Any, where: str) -> Instance:
    if not isinstance(row, dict):
        raise BadInput(f"{where}: an instance is an object of fields, not {_kind(row)}")
    texts = {name: _text(row, name, where) for name in _TEXTS}
    _fits(_ID, texts["instance_id"], "instance_id", where, "letters, digits and ._+-")
    _fits(_REPO, texts["repo"], "repo", where, "owner/name")
    _fits(_COMMIT, texts["base_commit"], "base_commit", where, "a commit hash")
    if not texts["problem_statement"].strip():
        raise BadInput(f"{where}: problem_statement is empty")
    lists = {name: _names(row, name, where) for name in _LISTS}
    if not lists["FAIL_TO_PASS"]:
        raise BadInput(f"{where}: FAIL_TO_PASS names no test, so nothing can judge a patch")
    problem = Problem(
        texts["instance_id"],
        texts["repo"],
        texts["base_commit"],
        texts["problem_statement"],
        version=_optional(row, "version", where),
        setup_commit=_optional(row, "environment_setup_commit", where),
    )
    answer = Answer(
        texts["patch"],
        texts["test_patch"],
        lists["FAIL_TO_PASS"],
        lists["PASS_TO_PASS"],
        hints=_optional(row, "hints_text", where),
    )
    return Instance(problem, answer, row)


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if value is None:
        raise BadInput(
            f"{where}: the field {name} is missing; the fields of SWE-bench are "
            f"{', '.join((*_TEXTS, *_LISTS))}"
        )
    if not isinstance(value, str):
        raise BadInput(f"{where}: {name} must be a text, not {_kind(value)}")
    return value


def _optional(row: Mapping[str, Any], name: str, where: str) -> str:
    return "" if row.get(name) is None else _text(row, name, where)


def _names(row: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    """A list of tests: as a list, or as the official files have it, a list written as JSON."""
    value = row.get(name)
    if isinstance(value, str):
        value = _parsed(value, f"{where}: {name}")
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BadInput(f"{where}: {name} must be a list of test names, or one written as JSON")
    return tuple(value)


def _fits(pattern: re.Pattern[str], value: str, name: str, where: str, wanted: str) -> None:
    if pattern.fullmatch(value) is None:
        raise BadInput(f"{where}: {name} {value[:80]!r} is none; {wanted} are wanted")


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
