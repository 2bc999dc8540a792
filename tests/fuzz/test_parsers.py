"""Whatever others wrote is parsed or refused with a `MeritreeError`: never a crash, never a hang.

The functions under test are those of fuzz/targets.py, shared with the coverage-guided fuzzer.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

FOLDER = Path(__file__).parents[2] / "fuzz"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TARGETS: dict[str, Callable[[bytes], None]] = load("targets").TARGETS

# Values that decide something in some parser, among arbitrary ones.
KEYS = tuple(
    word
    for line in (
        "id status seconds graded similarity signature exception message frames",
        "actual expected path file line collected test_files files_of modules",
        "third elsewhere errors ticket key node edit estimate mean",
        "passed_all results regressions ran how amended files outcome lines",
        "import_lines untraced lost functions flaky unstable score right schema",
        "provenance seeds checks rows interval scale verdict candidates verified",
        "format weights rules default repo python out",
    )
    for word in line.split()
)
odd_numbers = st.sampled_from([10**400, -(10**30), 2**63, 0, -1, 1e308, 0.5])
odd_texts = st.sampled_from(
    [
        "passed",
        "failed",
        "step",
        "outcome",
        "alias",
        "\ud800",
        "\0",
        "é" * 300,
        "~nobody/x",
        "smoke",
    ]
)
leaves = st.none() | st.booleans() | st.integers() | odd_numbers | st.text(max_size=12) | odd_texts
keys = st.sampled_from(KEYS) | st.text(max_size=5)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=20,
)
nested = st.sampled_from([b"[" * 50_000, b'{"a":' * 50_000, b"[[" * 20_000 + b"]]" * 20_000])
documents = values.map(lambda value: json.dumps(value).encode()) | nested
events = st.lists(
    st.tuples(
        st.sampled_from(["step", "outcome", "alias", "exhausted", "root", "prepared"]),
        st.dictionaries(keys, values, max_size=6),
    ),
    max_size=5,
).map(lambda pairs: json.dumps(pairs).encode())
PIECES = (
    'File "', "line", "in", "Traceback (most recent call last):", "E  ", "FAILED", "a::b", "-",
    ".py", ":12:", "```", "`", "\x1b[", "\x1b]", "\x07", "ValueError:", " >", "[worker 1]",
    "assert", "\\", "/", "C:", "~", "9" * 12,
)  # fmt: skip
words = st.sampled_from(PIECES) | st.text(max_size=6)
reports = st.lists(words, max_size=40).map(" ".join)
lines = st.lists(reports, max_size=8).map("\n".join)
INI = (
    "[pytest]", "[tool:pytest]", "[tool.pytest.ini_options]", "[tool.meritree]", "[", "=",
    'addopts = "-k"', "addopts = -k 'x", 'addopts = "-k \'x"', 'issue = "a"', "seed = 1",
    "a = [[[", "\t x",
)  # fmt: skip
ini = st.lists(st.sampled_from(INI) | st.text(max_size=8), max_size=6).map(
    lambda parts: "\n".join(parts).encode("utf-8", "replace")
)
sql = st.lists(
    st.sampled_from(
        [
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE event (seq INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, "
            "payload TEXT NOT NULL)",
            "CREATE TABLE event (seq INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, "
            "payload TEXT NOT NULL, sum INTEGER NOT NULL)",
            "CREATE TABLE event (seq, time, kind, payload)",
            "CREATE TABLE meta (key, value)",
            "CREATE VIEW event AS SELECT 1 AS seq, 2 AS time, 3 AS kind, 4 AS payload",
            "INSERT INTO meta VALUES ('seed', '7')",
            "INSERT INTO meta VALUES (1, x'ff')",
            "INSERT INTO event VALUES (1, 0.5, 'step', '{}')",
            "INSERT INTO event VALUES (1, 'x', x'ff', x'ff')",
            "INSERT INTO event VALUES (1, 0.5, 'step', '[1]', 0)",
            "INSERT INTO event VALUES (-5, 9e999, 'step', '{}')",
        ]
    ),
    max_size=8,
).map(lambda parts: "\n".join(parts).encode())
raw = st.binary(max_size=300)
CODE = (
    "def f(a):\n", "    return a\n", "class C:\n", "x = 1\n", "# -*- coding: latin-1 -*-\n",
    "\ufeff", "\r", "if x:\n", "    pass\n", "import os\n", '"""', "\x0c", "é = 'ü'\n", "(" * 300,
    "x = " + "+".join("1" * 3000) + "\n", "x = " + "-" * 3000 + "1\n",
)  # fmt: skip
code = st.lists(st.sampled_from(CODE), max_size=6).map(lambda parts: "".join(parts).encode())


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


STRATEGIES: dict[str, st.SearchStrategy[bytes]] = {
    "wire_frame": raw | documents.map(framed) | nested.map(framed)
    | values.map(lambda v: framed(json.dumps(["t", v]).encode())),
    "harness_answer": documents,
    "harness_judgement": raw | lines.map(lambda t: t.encode("utf-8", "replace")),
    "test_output": raw | lines.map(lambda text: text.encode("utf-8", "replace")),
    "journal_bytes": raw | raw.map(lambda data: b"SQLite format 3\0" + data),
    "journal_mutated": raw,
    "journal_tables": sql,
    "journal_events": events | documents,
    "journal_records": documents,
    "configuration": raw | ini,
    "settings_values": raw | lines.map(lambda text: text.encode("utf-8", "replace")),
    "test_command": raw | lines.map(lambda text: text.encode("utf-8", "replace")),
    "source_file": raw | code,
    "git_index": raw | raw.map(lambda data: b"DIRC\0\0\0\2" + data),
    "patch": raw | st.lists(st.sampled_from([b"a\n", b"b\n", b"c", b"\r\n", b"\\ x\n", b"-- a\n"]),
                            max_size=40).map(b"".join),
    "calibration_file": raw | documents | st.lists(documents, max_size=4).map(b"\n".join),
    "stored_documents": documents,
}  # fmt: skip


def test_every_target_has_examples_and_says_what_it_parses() -> None:
    assert set(STRATEGIES) == set(TARGETS)
    assert all(target.__doc__ for target in TARGETS.values())


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_what_others_wrote_is_parsed_or_refused(name: str) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=STRATEGIES[name])
    @example(data=b"")
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        # What was found, each once.
        ("test_output", b"a" * 20_000),
        ("test_output", b"\x1b]" * 20_000),
        ("test_output", b"`" * 20_000),
        ("test_output", b'File "a.py", line ' + b"9" * 5000),
        ("settings_values", b"a text of one line that is longer than a file name may be " * 5),
        ("settings_values", b"~nobody-of-this-name is a user"),
        ("configuration", b"[pytest]\naddopts = -k 'open"),
        ("configuration", b"a = " + b"[" * 20_000),
        ("wire_frame", framed(b"[" * 50_000)),
        ("harness_answer", b'{"collected": 1, "path": null}'),
        ("journal_mutated", b"N\xcf\xaf\x92\x89\xa1X{"),
        ("journal_records", b'{"results": [{"id": 1}]}'),
        ("journal_events", b'[["step", {}], ["outcome", {"ticket": 0}]]'),
        ("calibration_file", b'{"score": 1' + b"0" * 400 + b', "right": true}'),
        ("stored_documents", b'{"schema": 1, "candidates": 7}'),
        ("git_index", b"DIRC\0\0\0\2"),
        ("settings_values", b"~\0\0\0"),
        ("test_command", b"1../"),
    ],
)
def test_what_was_once_found_stays_mended(name: str, data: bytes) -> None:
    TARGETS[name](data)


def test_paths_before_line_numbers_are_read_as_before() -> None:
    from meritree.swe.traceback_text import mentions, parse_tracebacks

    text = "src/my pkg/a-b.py:12: in f\nC:\\x\\y.py:7: ValueError\nE   ValueError: no\n"
    text += "b.py:3: KeyError"
    frames = [frame for found in parse_tracebacks(text) for frame in found.frames]
    assert [(f.path, f.line, f.function) for f in frames] == [
        ("src/my pkg/a-b.py", 12, "f"), ("C:/x/y.py", 7, ""), ("b.py", 3, ""),
    ]  # fmt: skip
    assert mentions("see src/a.py, C:\\b\\c.py and d.pyc or e.py.f").paths == (
        "src/a.py", "C:/b/c.py", "e.py",
    )  # fmt: skip
