"""Everything that parses what others wrote, as functions of bytes: they return, or it is a finding.

Used by the property tests (tests/fuzz) and by the coverage-guided fuzzer (fuzz/run.py). Each
swallows `MeritreeError` and what its docstring names, nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from meritree.errors import MeritreeError

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {}


def target(function: Target) -> Target:
    TARGETS[function.__name__] = function
    return function


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory) as name:
        yield Path(name)


def _json(data: bytes) -> Any:
    """A JSON value; None where the bytes are none (the parser under test is another one)."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


# -- test processes ------------------------------------------------------------------------


@target
def wire_frame(data: bytes) -> None:
    """Frames from a pipe: a dict, or Closed, Garbled, TimedOut."""
    from meritree.swe.harness.wire import Channel, Closed, Garbled, TimedOut

    read, write = os.pipe()
    os.write(write, data[:60_000])  # a pipe holds this much without a reader
    os.close(write)
    channel = Channel(read, -1, "t")
    try:
        for _ in range(4):
            assert isinstance(channel.receive(time.monotonic() + 5), dict)
    except (Closed, Garbled, TimedOut):
        pass
    finally:
        channel.close()


@target
def harness_answer(data: bytes) -> None:
    """Results, errors, a census and lines as the harness sends them."""
    from meritree.swe.testing import decode

    value = _json(data)
    for parse in (decode.result, decode.results, decode.census, decode.collection_error):
        with contextlib.suppress(MeritreeError):
            parse(value)
    with contextlib.suppress(MeritreeError), decode.reading("lines"):
        decode.lines(value)


@target
def harness_judgement(data: bytes) -> None:
    """Pure functions on records inside the harness (a dict of the right keys is given)."""
    from meritree.swe.harness import wire

    text = _text(data)
    half = len(text) // 2
    a, b = text[:half], text[half:]
    difference = wire.difference_of(a, b)
    assert wire.text_of(a, difference) == b


@target
def test_output(data: bytes) -> None:
    """Tracebacks, pytest reports and mentions in any text."""
    from meritree.swe.traceback_text import clean, match_path, mentions, parse_tracebacks, resolve

    text = _text(data)
    paths = ["src/a.py", "b/a.py", "tests/test_a.py"]
    for found in parse_tracebacks(text):
        resolve(found.frames, paths)
    clean(text)
    for path in mentions(text).paths[:50]:
        match_path(path, paths)


# -- journals ------------------------------------------------------------------------------


@target
def journal_bytes(data: bytes) -> None:
    """Any bytes as run.db (and its log)."""
    with _folder() as folder:
        half = len(data) // 2
        (folder / "run.db").write_bytes(data)
        (folder / "run.db-wal").write_bytes(data[half:])
        _read_journal(folder)


@target
def journal_mutated(data: bytes) -> None:
    """A real journal with bytes overwritten: pairs of a place and what stands there."""
    with _folder() as folder:
        content = bytearray(_whole_journal())
        for i in range(0, len(data) - 3, 4):
            at = int.from_bytes(data[i : i + 3], "big") % len(content)
            content[at] = data[i + 3]
        (folder / "run.db").write_bytes(content)
        _read_journal(folder)


@target
def journal_tables(data: bytes) -> None:
    """A database that says it is a journal, with tables made by any SQL of one line each."""
    with _folder() as folder:
        with contextlib.closing(sqlite3.connect(folder / "run.db", isolation_level=None)) as raw:
            raw.execute("PRAGMA application_id = 0x4D545245")
            raw.execute("PRAGMA user_version = 2")
            raw.set_authorizer(_harmless)
            for line in data.split(b"\n")[:20]:
                with contextlib.suppress(sqlite3.Error, sqlite3.Warning, ValueError):
                    raw.set_progress_handler(lambda: 1, 200_000)
                    raw.execute(line.decode("utf-8", "replace"))
        _read_journal(folder)


def _harmless(action: int, first: str | None, *_: object) -> int:
    refused = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_FUNCTION}
    return sqlite3.SQLITE_DENY if action in refused else sqlite3.SQLITE_OK


@target
def journal_events(data: bytes) -> None:
    """Any JSON as the events of a run that is shown, and resumed."""
    from meritree.view.store import load_run

    value = _json(data)
    events = value if isinstance(value, list) else [["step", value], ["outcome", value]]
    with _folder() as folder:
        _write_events(folder, events)
        with contextlib.suppress(MeritreeError):
            load_run(folder)
        with contextlib.suppress(MeritreeError):
            _replay(events)


def _write_events(folder: Path, events: list[Any]) -> None:
    from meritree.run.journal import Journal

    with Journal.create(folder / "run.db", {"kind": "fix", "options": {}}) as journal:
        for event in events[:50]:
            kind, payload = event if isinstance(event, list) and len(event) == 2 else ("x", event)
            if isinstance(kind, str) and isinstance(payload, dict):
                with contextlib.suppress(MeritreeError, UnicodeEncodeError):
                    journal.append(kind, payload)


def _replay(events: list[Any]) -> None:
    from meritree.bench.fault_world import new_search

    known = ("step", "outcome", "alias", "exhausted")
    pairs = [e for e in events if isinstance(e, list) and len(e) == 2 and e[0] in known[:4]]
    new_search(None, 10).replay(iter([(k, p) for k, p in pairs if isinstance(p, dict)]))


@target
def journal_records(data: bytes) -> None:
    """Any JSON as a recorded outcome, baseline, coverage or request."""
    from meritree.swe import outcome_codec
    from meritree.swe.run_folder import decode_options

    value = _json(data)
    for decode in (
        outcome_codec.decode_result, outcome_codec.decode_outcome, outcome_codec.decode_baseline,
        outcome_codec.decode_coverage, decode_options,
    ):  # fmt: skip
        with contextlib.suppress(MeritreeError):
            decode(value)


def _read_journal(folder: Path) -> None:
    from meritree.run.journal import Journal

    for read_only in (True, False):
        with (
            contextlib.suppress(MeritreeError),
            Journal.open(folder / "run.db", read_only=read_only) as journal,
        ):
            assert isinstance(journal.meta, Mapping)
            for number, event in enumerate(journal.events(), 1):
                assert event.seq == number
                assert isinstance(event.payload, dict)


def _whole_journal(cache: dict[str, bytes] = {}) -> bytes:  # noqa: B006  (made once)
    from meritree.run.journal import Journal

    if not cache:
        with _folder() as folder:
            with Journal.create(folder / "run.db", {"seed": 1}) as journal:
                for number in range(60):
                    journal.append("step", {"number": number, "text": "x" * (number * 7)})
            cache["whole"] = (folder / "run.db").read_bytes()
    return cache["whole"]


# -- configuration and repositories -----------------------------------------------------------


@target
def configuration(data: bytes) -> None:
    """Any bytes as each configuration file that decides how tests run, and as our settings."""
    from meritree.cli.settings import read_settings
    from meritree.swe.testing.detect import detect_command

    for name in ("pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg", "pytest.toml"):
        with _folder() as folder:
            (folder / "test_a.py").write_text("")
            (folder / name).write_bytes(data)
            with contextlib.suppress(MeritreeError):
                detect_command(folder)
            with contextlib.suppress(MeritreeError):
                read_settings(folder)


@target
def settings_values(data: bytes) -> None:
    """Any text as the value of each setting that is a text, and as an issue."""
    from meritree.cli.options import read_issue
    from meritree.cli.settings import read_settings

    text = json.dumps(data.decode("utf-8", "replace"))
    with _folder() as folder:
        for key in ("issue", "test", "python", "out", "sandbox", "strategy"):
            (folder / "pyproject.toml").write_text(f"[tool.meritree]\n{key} = {text}\n", "utf-8")
            with contextlib.suppress(MeritreeError):
                read_settings(folder)
    issue = data.decode("utf-8", "replace")
    if issue != "-":  # the standard input
        with contextlib.suppress(MeritreeError):
            read_issue(issue)


@target
def test_command(data: bytes) -> None:
    """Any text as --test."""
    from meritree.swe.testing.detect import parse_command

    with _folder() as folder, contextlib.suppress(MeritreeError):
        parse_command(_text(data), folder)
    with _folder() as folder, contextlib.suppress(MeritreeError):
        parse_command("python -m unittest " + _text(data), folder)


@target
def source_file(data: bytes) -> None:
    """Any bytes as the only source file of a repository: read, indexed, localised."""
    from meritree.swe.repair.ingredients import RepoIndex
    from meritree.swe.repository import open_repository

    with _folder() as folder:
        (folder / "code.py").write_bytes(data)
        try:
            repository = open_repository(folder)
        except MeritreeError:
            return
        if repository.sources:
            RepoIndex(repository.sources, installed=())


@target
def git_index(data: bytes) -> None:
    """Any bytes as the index, the ignore rules and the configuration of a git repository."""
    from meritree.swe.folder_scan import scan_folder

    for name in (".git/index", ".gitignore", ".git/config", ".git/HEAD"):
        with _folder() as folder:
            git = folder / ".git"
            for made in (git / "objects", git / "refs" / "heads"):
                made.mkdir(parents=True)
            (git / "HEAD").write_text("ref: refs/heads/main\n")
            (git / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = false\n")
            (folder / "a.py").write_text("")
            (folder / name).write_bytes(data)
            with contextlib.suppress(MeritreeError):
                scan_folder(folder)


@target
def patch(data: bytes) -> None:
    """The difference of any two files is a patch that turns one into the other."""
    from meritree.swe.git_diff import FileVersion, file_patch, patch_bytes

    half = len(data) // 2
    old = FileVersion(0o100644, "a" * 40, data[:half])
    new = FileVersion(0o100644, "b" * 40, data[half:])
    try:
        text = patch_bytes(file_patch('a b"é.py', old, new))
    except MeritreeError:
        assert b"\0" in data
        return
    assert applied(old.data, text) == new.data


def applied(old: bytes, patch_text: bytes) -> bytes:
    """What a patch of one file makes of its old content."""
    lines = _split(old)
    result: list[bytes] = []
    position, last, inside = 0, b"", False
    for line in _split(patch_text):
        if line.startswith(b"@@ "):
            start, _, count = line.split(b" ")[1][1:].partition(b",")
            first = int(start) - (1 if int(count) else 0)
            result += lines[position:first]
            position, inside = first, True
        elif not inside:
            continue
        elif line.startswith((b"-", b" ")):
            assert lines[position].removesuffix(b"\n") == line[1:].removesuffix(b"\n")
            result += [lines[position]] if line.startswith(b" ") else []
            position += 1
        elif line.startswith(b"+"):
            result.append(line[1:])
        elif line.startswith(b"\\") and last == b"+":
            result[-1] = result[-1].removesuffix(b"\n")
        last = line[:1]
    return b"".join(result + lines[position:])


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


# -- files of ours that others may have written --------------------------------------------------


@target
def calibration_file(data: bytes) -> None:
    """Any bytes as a journal of judged patches."""
    from meritree.swe.calibration import acceptance, read

    with _folder() as folder:
        path = folder / "calibration.jsonl"
        path.write_bytes(data)
        for parse in (read, acceptance):
            with contextlib.suppress(MeritreeError):
                parse(path)


@target
def stored_documents(data: bytes) -> None:
    """Any JSON as a study's result, a prior table and a run's result."""
    from meritree.studies.result import Result
    from meritree.swe.repair.priors import PriorTable
    from meritree.view.store import load_run

    with contextlib.suppress(MeritreeError):
        PriorTable.from_json(data.decode("utf-8", "replace"))
    with contextlib.suppress(MeritreeError):
        Result.from_json(_json(data))
    with _folder() as folder:
        (folder / "result.json").write_bytes(data)
        with contextlib.suppress(MeritreeError):
            load_run(folder)


__all__ = ["TARGETS", "applied"]
