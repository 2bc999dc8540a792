from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.swe.traceback_text import (
    Frame,
    clean,
    match_path,
    mentions,
    parse_tracebacks,
    resolve,
)

PLAIN = """Traceback (most recent call last):
  File "/home/u/proj/pkg/cli.py", line 7, in main
    run(args)
  File "/home/u/proj/pkg/core.py", line 41, in run
    return helper(x)
           ^^^^^^^^^
ValueError: bad: value"""


def frames(text: str) -> list[tuple[str, int, str]]:
    return [tuple(frame) for parsed in parse_tracebacks(text) for frame in parsed.frames]


EXPECTED = [("/home/u/proj/pkg/cli.py", 7, "main"), ("/home/u/proj/pkg/core.py", 41, "run")]


def test_a_plain_traceback_gives_frames_exception_and_message() -> None:
    (parsed,) = parse_tracebacks("It broke:\n" + PLAIN + "\nWhat now?")
    assert frames(PLAIN) == EXPECTED
    assert (parsed.exception, parsed.message) == ("ValueError", "bad: value")


@pytest.mark.parametrize(
    "prefix",
    [
        "> ",
        "> > ",
        "2024-05-06 07:08:09,123 ",
        "2024-05-06T07:08:09.123Z ",
        "[2024-05-06 07:08:09] ",
        "07:08:09 ",
        "web_1  | ",
        "[worker 3] ",
        "    ",
    ],
)
def test_prefixes_of_quotes_logs_and_containers_are_ignored(prefix: str) -> None:
    text = "\n".join(prefix + line for line in PLAIN.split("\n"))
    (parsed,) = parse_tracebacks(text)
    assert frames(text) == EXPECTED
    assert (parsed.exception, parsed.message) == ("ValueError", "bad: value")


def test_colours_and_carriage_returns_are_ignored() -> None:
    coloured = PLAIN.replace("ValueError", "\x1b[1;31mValueError\x1b[0m").replace("\n", "\r\n")
    coloured = coloured.replace('"/home', '\x1b[35m"/home').replace("41", "\x1b[35m41\x1b[0m")
    (parsed,) = parse_tracebacks(coloured)
    assert frames(coloured) == EXPECTED
    assert parsed.exception == "ValueError"


def test_frames_that_a_terminal_wrapped_are_joined() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/a/very/long/path/that/was/bro\nken.py", line\n 13, in inner\n'
        "    x = y\n"
        '  File "/b/c.py", line 5, in\nother\n    z\n'
        "KeyError: 'k'"
    )
    (parsed,) = parse_tracebacks(text)
    assert frames(text) == [
        ("/a/very/long/path/that/was/broken.py", 13, "inner"),
        ("/b/c.py", 5, "other"),
    ]
    assert (parsed.exception, parsed.message) == ("KeyError", "'k'")


def test_windows_paths_become_slashes() -> None:
    text = 'Traceback (most recent call last):\n  File "C:\\x\\pkg\\m.py", line 3, in f\nOSError'
    assert frames(text) == [("C:/x/pkg/m.py", 3, "f")]
    assert parse_tracebacks(text)[0].exception == "OSError"


def test_chained_exceptions_are_separate_and_in_order() -> None:
    between = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
    second = PLAIN.replace("ValueError: bad: value", "pkg.errors.Broken: no")
    first, last = parse_tracebacks(PLAIN + between + second)
    assert (first.exception, last.exception) == ("ValueError", "pkg.errors.Broken")
    assert first.frames == last.frames


def test_a_traceback_cut_off_before_its_exception_keeps_its_frames() -> None:
    text = "\n".join(PLAIN.split("\n")[:4])
    (parsed,) = parse_tracebacks(text)
    assert len(parsed.frames) == 2
    assert parsed.exception == ""


@pytest.mark.parametrize("style", ["long", "short", "native"])
def test_real_pytest_output_is_read_in_every_style(tmp_path: Path, style: str) -> None:
    (tmp_path / "shop.py").write_text("def price(n):\n    return 10 // n\n")
    (tmp_path / "test_shop.py").write_text(
        "from shop import price\n\n\n"
        "def test_raises():\n    assert price(0) == 1\n\n\n"
        "def test_differs():\n    assert price(2) == 4\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--tb={style}", "."]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    parsed = parse_tracebacks(run.stdout)
    raised = [p for p in parsed if p.exception == "ZeroDivisionError"]
    found = resolve(raised[0].frames, ["shop.py", "test_shop.py"])
    assert [(frame.path, frame.line) for frame in found] == [("test_shop.py", 5), ("shop.py", 2)]
    differs = [p for p in parsed if p.exception == "AssertionError" and "5 == 4" in p.message]
    frames = resolve((f for p in differs for f in p.frames), ["shop.py", "test_shop.py"])
    assert ("test_shop.py", 9) in [(frame.path, frame.line) for frame in frames]


def test_the_longest_common_suffix_decides_between_equal_file_names() -> None:
    paths = ["a/utils.py", "pkg/a/utils.py", "pkg/b/utils.py", "utils.py"]
    assert match_path("/site-packages/pkg/b/utils.py", paths) == "pkg/b/utils.py"
    assert match_path("/x/pkg/a/utils.py", paths) == "pkg/a/utils.py"
    assert match_path("C:\\x\\utils.py", paths) == "utils.py"
    assert match_path("/x/other.py", paths) is None
    assert match_path("/q/utils.py", ["a/utils.py", "b/utils.py"]) is None


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4), st.sampled_from("xyz"))
def test_a_path_under_any_root_matches_itself(parts: list[str], root: str) -> None:
    path = "/".join(parts) + ".py"
    assert match_path(f"/{root}/{path}", [path, "other/unrelated.py"]) == path


def test_frames_outside_the_repository_are_dropped() -> None:
    kept = resolve([Frame("/r/pkg/a.py", 1, "f"), Frame("/lib/json.py", 2, "g")], ["pkg/a.py"])
    assert kept == (Frame("pkg/a.py", 1, "f"),)


def test_mentions_find_code_and_leave_english_alone() -> None:
    said = mentions(
        "When I call `Cache.get(key)` with a parse_date value, e.g. in pkg/cache.py, it fails.\n"
        "```python\n>>> load_all('x')\n```\n"
    )
    assert {"Cache", "Cache.get", "get", "key", "parse_date", "load_all"} <= said.identifiers
    assert not {"When", "call", "with", "fails", "e.g", "it"} & said.identifiers
    assert said.paths == ("pkg/cache.py",)
    assert said.quoted == ("Cache.get(key)", "load_all('x')")


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    parse_tracebacks(text)
    mentions(text)
    assert "\r" not in clean(text)
