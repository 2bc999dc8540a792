"""`meritree sandbox check`: what it prints, for people and for programs, and its exit codes."""

from __future__ import annotations

import json

import pytest

from meritree.cli import sandbox as command
from meritree.cli.app import run
from meritree.run.escapes import Result


def test_the_check_is_a_list_of_attempts_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["sandbox", "check", "--kind", "rlimits", "--attempt", "environment", "--json"]
    assert run(line) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert {"attempt", "kind", "refused", "promised", "reason"} <= set(found)
    assert (found["attempt"], found["kind"], found["refused"]) == ("environment", "rlimits", True)


def test_what_rlimits_does_not_promise_is_shown_and_fails_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["sandbox", "check", "--kind", "rlimits", "--attempt", "write-outside"]) == 0
    shown = capsys.readouterr().out
    assert "not promised" in shown
    assert "0 of 1 refused, 0 escaped that must not" in " ".join(shown.split())


def test_an_escape_that_must_not_be_is_named_and_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Result("tunnel", "dig", "rlimits", False, True, "a spoon was found")
    monkeypatch.setattr(command, "_results", lambda *_: [out])
    assert run(["sandbox", "check", "--kind", "rlimits"]) == 1
    assert "ESCAPED from rlimits: tunnel: a spoon was found" in capsys.readouterr().out


@pytest.mark.parametrize("option", [["--kind", "jail"], ["--attempt", "tunnel"]])
def test_unknown_names_are_refused_in_words(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sandbox", "check", *option]) == 2
    assert option[1] in capsys.readouterr().err
