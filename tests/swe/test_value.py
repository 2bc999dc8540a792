from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.swe.testing.types import Baseline, Outcome, TestResult
from meritree.swe.value import (
    CHANNELS,
    Facts,
    Reference,
    ValueWeights,
    channel_gains,
    judge,
    refused,
    root_value,
)


def failed(name: str, graded: float = 0.2, actual: str = "10", signature: str = "s") -> TestResult:
    return TestResult(
        name, "failed", graded=graded, signature=signature, exception="AssertionError",
        message="assert", actual=actual, expected="7",
    )  # fmt: skip


def passed(name: str) -> TestResult:
    return TestResult(name, "passed", graded=1.0)


BEFORE = {name: failed(name) for name in "abcd"}
REFERENCE = Reference(tuple("abcd"), BEFORE)


def outcome(
    *passing: str, broken: tuple[str, ...] = (), ran: int = 4, **now: TestResult
) -> Outcome:
    results = {**BEFORE, **{name: passed(name) for name in passing}, **now}
    done = len(passing) == 4 and not broken
    return Outcome(done, results, broken, ran=ran)


def test_the_value_is_the_documented_weighted_sum() -> None:
    weights = ValueWeights(targets=0.5, near=0.35, changed=0.1, size=0.05)
    estimate = judge(REFERENCE, outcome("a"), Facts(size=0.0), weights)
    assert estimate.mean == pytest.approx(0.5 / 4 + 0.35 * (1 + 3 * 0.2) / 4 + 0.1 / 4 + 0.05)


def test_reasons_say_what_the_tests_said() -> None:
    estimate = judge(REFERENCE, outcome("a", "b", "c", d=failed("d", 0.5, "8", "t")))
    assert estimate.reasons["targets"] == "3 of 4 target tests pass"
    assert estimate.reasons["near"] == "expected 7, now 8 (was 10)"
    assert estimate.reasons["changed"] == "4 of 4 targets behave differently"


def test_the_value_is_one_only_when_everything_passes() -> None:
    assert judge(REFERENCE, outcome(*"abcd")).mean == 1.0
    assert judge(REFERENCE, outcome(*"abcd", broken=("z",), ran=9)).mean < 1.0
    assert judge(REFERENCE, outcome(*"abc", d=failed("d", 1.0))).mean < 1.0


def test_code_that_does_not_load_is_worth_nothing_and_says_why() -> None:
    estimate = judge(REFERENCE, Outcome(False, invalid="SyntaxError: x"))
    assert estimate.mean == 0.0
    assert "SyntaxError" in estimate.reasons["targets"]


def test_a_target_that_was_not_run_counts_as_unchanged() -> None:
    partial = Outcome(False, {"a": failed("a")}, ran=1)
    assert judge(REFERENCE, partial).mean == root_value(REFERENCE).mean


passing = st.sets(st.sampled_from("abcd"), max_size=3)
grade = st.floats(0, 1)


@given(passing, grade, grade)
def test_fixing_one_more_target_never_lowers_the_value(
    names: set[str], one: float, other: float
) -> None:
    still = {n: failed(n, g) for n, g in zip("abcd", (one, other, one, other), strict=True)}
    now = {n: still[n] for n in "abcd" if n not in names}
    less = judge(REFERENCE, outcome(*names, **now))
    extra = next(iter(sorted(now)))
    now.pop(extra)
    assert judge(REFERENCE, outcome(*names, extra, **now)).mean >= less.mean


@given(passing, st.integers(5, 300), st.integers(1, 5))
def test_a_regression_never_raises_the_value(names: set[str], ran: int, broken: int) -> None:
    whole = judge(REFERENCE, outcome(*names, ran=ran)).mean
    hurt = judge(REFERENCE, outcome(*names, broken=tuple("vwxyz")[:broken], ran=ran)).mean
    assert hurt < whole


@given(
    passing,
    grade,
    st.floats(0, 50),
    st.floats(-1, 2),
    st.sets(st.sampled_from(["changed", "size"])),
)
def test_value_and_channels_stay_in_the_unit_interval(
    names: set[str], graded: float, size: float, odd: float, off: set[str]
) -> None:
    now = {n: failed(n, graded) for n in "abcd" if n not in names}
    facts = Facts(size, 1, natural=odd, suspicion=odd)
    estimate = judge(REFERENCE, outcome(*names, **now), facts, ValueWeights(off=frozenset(off)))
    assert 0 <= estimate.mean <= 1
    assert all(0 <= value <= 1 for value in estimate.channels.values())
    assert estimate.channels.keys() == estimate.reasons.keys()


@pytest.mark.parametrize("name", CHANNELS)
def test_every_channel_can_be_switched_off(name: str) -> None:
    facts = Facts(1.0, 1, natural=0.5, suspicion=0.5, flags=("reads a test",))
    on = judge(REFERENCE, outcome("a"), facts)
    off = judge(REFERENCE, outcome("a"), facts, ValueWeights(off=frozenset({name})))
    assert set(on.channels) - set(off.channels) == {name}


def test_a_flagged_candidate_is_worth_half_at_most_and_an_honest_one_knows_of_no_flag() -> None:
    every = outcome(*"abcd", passed_all=True)
    honest, flagged = judge(REFERENCE, every), judge(REFERENCE, every, Facts(flags=("why",)))
    assert honest.mean == 1.0
    assert "honest" not in honest.channels
    assert (flagged.mean, flagged.channels["honest"]) == (0.5, 0.0)
    assert "why" in flagged.reasons["honest"]
    shares = channel_gains(root_value(REFERENCE), flagged)
    assert sum(shares.values()) == pytest.approx(flagged.mean - root_value(REFERENCE).mean)
    off = ValueWeights(off=frozenset({"honest"}))
    assert judge(REFERENCE, every, Facts(flags=("why",)), off).mean == 1.0


def test_without_the_gate_a_regression_costs_nothing() -> None:
    off = ValueWeights(off=frozenset({"kept"}))
    hurt, whole = outcome("a", broken=("z",), ran=9), outcome("a", ran=9)
    assert judge(REFERENCE, hurt, weights=off).mean == judge(REFERENCE, whole, weights=off).mean


def test_wrong_weights_and_missing_targets_are_refused_in_words() -> None:
    with pytest.raises(BadInput, match="'nope'"):
        ValueWeights(off=frozenset({"nope"}))
    with pytest.raises(BadInput, match="switched off"):
        ValueWeights(off=frozenset(CHANNELS))
    with pytest.raises(BadInput, match="no target"):
        Reference.of(Baseline(BEFORE), ())
    with pytest.raises(BadInput, match="'q'"):
        Reference.of(Baseline(BEFORE), ("q",))


def test_a_refused_candidate_is_worth_little_and_keeps_its_reasons() -> None:
    estimate = refused(judge(REFERENCE, outcome(*"abcd")), "flaky")
    assert estimate.mean == 0.3
    assert estimate.reasons["verdict"] == "flaky"
    assert "targets" in estimate.reasons


def test_gains_of_channels_sum_to_the_gain_of_the_value() -> None:
    before = root_value(REFERENCE)
    solved = judge(REFERENCE, outcome(*"abcd"), Facts(size=1.0, natural=0.9))
    gains = channel_gains(before, solved)
    assert sum(gains.values()) == pytest.approx(1.0 - before.mean)
    assert gains["targets"] == max(gains.values())
    assert gains["clean"] == gains["natural"] == 0.0
    broken = judge(REFERENCE, outcome("a", broken=("g",)))
    gains = channel_gains(before, broken)
    assert sum(gains.values()) == pytest.approx(broken.mean - before.mean)
    assert gains["kept"] < 0.0 < gains["targets"]


def test_nothing_changed_gains_nothing() -> None:
    before = root_value(REFERENCE)
    assert set(channel_gains(before, before).values()) == {0.0}
