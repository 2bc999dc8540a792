"""Sentences about a run."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from meritree.view import words


@given(st.text())
def test_cleaned_text_holds_no_character_that_a_terminal_obeys(text: str) -> None:
    cleaned = words.clean(text)
    assert not [c for c in cleaned if c not in "\n\t" and (ord(c) < 32 or 127 <= ord(c) < 160)]
    cleaned.encode("utf-8")


def test_lone_surrogates_of_undecodable_names_can_be_written() -> None:
    assert words.clean("name\udcff").encode("utf-8") == b"name?"


@given(st.text(), st.integers(2, 60))
def test_one_line_is_one_line_of_at_most_the_width(text: str, width: int) -> None:
    line = words.one_line(text, width)
    assert len(line) <= width
    assert "\n" not in line


def test_counts_name_each_status_once_in_a_fixed_order() -> None:
    statuses = ["failed", "passed", "passed", "skipped", "odd"]
    outcomes = [{"status": status} for status in statuses]
    assert words.counts(outcomes) == "2 passed, 1 failed, 1 skipped, 1 odd"
    assert words.counts([]) == "none run"


def test_commands_survive_a_shell_whatever_the_path_holds() -> None:
    document = {"out": "/a folder/it's; rm -rf", "settings": {"repo": "/repo $(id)"}}
    assert shlex.split(words.apply_command(document)) == [
        "git", "-C", "/repo $(id)", "apply", "/a folder/it's; rm -rf/patch.diff",
    ]  # fmt: skip
    assert shlex.split(words.resume_command(document))[2] == "/a folder/it's; rm -rf"


def test_the_command_to_repeat_a_run_names_what_decided_it() -> None:
    settings = {
        "repo": "/r", "seed": 7, "budget_seconds": 12.5, "python": None, "issue": "it's wrong",
        "failing_tests": ["t.py::a"],
    }  # fmt: skip
    told = shlex.split(words.reproduce_command({"settings": settings}))
    assert told[:3] == ["meritree", "fix", "/r"]
    assert told[told.index("--seed") + 1] == "7"
    assert told[told.index("--budget-seconds") + 1] == "12.5"
    assert told[told.index("--failing") + 1] == "t.py::a"
    assert told[told.index("--issue") + 1] == "it's wrong"
    assert "--python" not in told


def test_the_headline_does_not_say_the_status_twice() -> None:
    document = {"status": "verified", "message": "verified: 3 tests pass", "patch": "x"}
    assert words.headline(document) == ("verified", "3 tests pass")


def test_the_caution_stands_beside_every_patch_exactly_once() -> None:
    said = {"message": "It is evidence, not proof.", "patch": "x"}
    assert words.caution(said) == ""
    assert words.caution({"message": "", "patch": "x"}) == words.NOT_PROOF
    assert words.caution({"message": "", "patch": None}) == ""


def test_channels_come_strongest_first_with_their_reasons() -> None:
    estimate = {"channels": {"a": 0.2, "b": 0.9}, "reasons": {"b": "why"}}
    assert words.channel_rows(estimate) == [("b", 0.9, "why"), ("a", 0.2, "")]
    assert words.channel_rows(None) == []


def test_a_gain_is_shown_with_its_sign_where_there_is_one() -> None:
    estimate = {"gains": {"a": 0.625, "b": -0.02, "c": 0.001}}
    shown = [words.gain(estimate, name) for name in "abcd"]
    assert shown == ["+0.62", "-0.02", "", ""]
    assert words.gain({}, "a") == words.gain(None, "a") == ""  # runs of earlier versions
