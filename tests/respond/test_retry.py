"""Waiting: longer each time, never in step, never beyond what was agreed."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.respond import (
    BrokenReply,
    EndpointDown,
    ModelError,
    Overloaded,
    Patience,
    Rejected,
    Reply,
)
from meritree.respond.refusals import retry_after
from meritree.respond.retry import wait_before, with_retries


def run(
    errors: list[ModelError], patience: Patience, **settings: float
) -> tuple[object, list[float]]:
    """What came of it, and the waits."""
    waits: list[float] = []
    left = list(errors)

    def attempt() -> Reply:
        if left:
            raise left.pop(0)
        return Reply("there")

    try:
        came: object = with_retries(attempt, patience, sleep=waits.append, **settings).text
    except ModelError as error:
        came = error
    return came, waits


@given(st.integers(0, 1000), st.floats(0, 1, exclude_max=True), st.floats(0, 50) | st.none())
def test_a_wait_is_within_its_bounds(turn: int, jitter: float, asked: float | None) -> None:
    patience = Patience(first=1, longest=60)
    wait = wait_before(turn, Overloaded("x", retry_after=asked), patience, jitter)
    backoff = min(60.0, 2.0 ** min(turn, 10))
    assert max(backoff / 2, asked or 0) <= wait <= max(backoff, asked or 0)


def test_waits_grow_and_end_with_the_reply() -> None:
    came, waits = run([EndpointDown("x")] * 4, Patience(9, first=1), jitter=lambda: 0.999999)
    assert came == "there"
    assert waits == pytest.approx([1, 2, 4, 8], rel=1e-3)


def test_what_the_endpoint_asks_for_is_waited() -> None:
    came, waits = run([Overloaded("x", retry_after=7)], Patience(1, first=0.1))
    assert (came, waits) == ("there", [7])


def test_the_last_error_is_raised_without_a_wait() -> None:
    last = EndpointDown("second")
    came, waits = run([EndpointDown("first"), last], Patience(1, first=1))
    assert came is last
    assert len(waits) == 1


def test_final_errors_are_not_retried() -> None:
    came, waits = run([Rejected("no")], Patience(5))
    assert isinstance(came, Rejected)
    assert waits == []


def test_failures_that_are_paid_are_retried_less() -> None:
    errors: list[ModelError] = [Overloaded("x"), *[BrokenReply("half") for _ in range(4)]]
    came, waits = run(errors, Patience(50, first=1))
    assert isinstance(came, BrokenReply)
    assert len(waits) == 1 + 3


def test_no_wait_ends_after_the_deadline() -> None:
    came, waits = run(
        [EndpointDown("x")] * 9,
        Patience(9, first=1),
        deadline=5,
        clock=lambda: 2,
        jitter=lambda: 0.5,
    )
    assert isinstance(came, EndpointDown)
    assert sum(waits[:-1]) < 9
    assert max(waits) <= 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3), ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, None), ({"retry-after": "-1"}, None), ({}, None),
        ({"retry-after": "Mon, 01 Jan 1990 00:00:00 GMT"}, 0), ({"retry-after": "1e400"}, None),
    ],
)  # fmt: skip
def test_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    found = retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert found is not None
    assert 0 < found <= 100
