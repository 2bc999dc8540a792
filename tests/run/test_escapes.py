"""Attempts to escape: controls succeed, kinds hold, and nothing is reported that was not seen."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from meritree.errors import BadInput
from meritree.run.escapes import ATTEMPTS, Attempt, Seen, Stage, check, failures
from meritree.run.escapes.kinds import own_word
from meritree.run.sandbox import Sandbox, choose

BY_NAME = {attempt.name: attempt for attempt in ATTEMPTS}
# One of each family here; all of them, on every kind, are tried by .ci/run.
SOME = ("symlink", "proc-environ", "signal", "abstract-socket", "setuid-left", "disk-fill")


def strongest() -> Sandbox:
    try:
        return choose("auto")
    except BadInput as error:
        pytest.skip(str(error))


def test_there_are_at_least_thirty_attempts_with_names_of_their_own() -> None:
    assert len(BY_NAME) == len(ATTEMPTS) >= 30


@pytest.mark.parametrize("name", SOME)
def test_an_attempt_succeeds_unconfined_and_is_refused_by_the_strongest_kind(name: str) -> None:
    kinds = [strongest(), choose("rlimits")]
    strong, weak = check(kinds, [BY_NAME[name]])
    if strong.refused is None:
        pytest.skip(strong.reason)
    assert strong.refused, strong
    assert strong.promised
    assert weak.refused is BY_NAME[name].limits_only, weak
    assert weak.promised is BY_NAME[name].limits_only
    assert failures([strong, weak]) == ()


def test_what_fails_without_a_sandbox_too_is_not_called_refused() -> None:
    hopeless = Attempt("hopeless", "", "raise OSError(5, 'never works')", own_word)
    (result,) = check([choose("rlimits")], [hopeless])
    assert result.refused is None
    assert "never works" in result.reason
    assert "not testable here" in result.reason


def test_an_escape_from_a_kind_that_promises_to_stop_it_is_a_failure() -> None:
    trivial = Attempt("trivial", "", "won('x')", own_word)
    results = list(check([replace(choose("rlimits"), strength=2)], [trivial]))
    assert [one.refused for one in results] == [False]
    assert failures(results) == tuple(results)


def test_an_attempt_that_never_started_is_not_called_refused() -> None:
    attempt = BY_NAME["write-outside"]
    broken = replace(attempt, limits=replace(attempt.limits, memory_bytes=1 << 20))
    (result,) = check([strongest()], [broken])
    assert result.refused is None, result


def test_a_stage_leaves_nothing_behind() -> None:
    with Stage() as stage:
        assert stage.victim.poll() is None
        assert stage.token not in repr(stage.told())
        assert own_word(stage, Seen(b"")) == ""
    assert not stage.top.exists()
    assert stage.victim.poll() is not None
    assert "MERITREE_CANARY_KEY" not in os.environ
