"""The ledger: limits that hold under every schedule, and books that tell the truth."""

from __future__ import annotations

import dataclasses
import json
import random
import sys
import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from meritree.errors import BadInput, BudgetExceeded, MeritreeError
from meritree.run.ledger import Ledger, Limits, Reservation, Spending
from meritree.value.estimate import Cost


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_reservation_is_replaced_by_the_actual_cost() -> None:
    ledger = Ledger(Limits(evaluations=10, tokens=100, usd=1.0))
    reservation = ledger.reserve(Cost(evaluations=4, tokens=60, usd=0.5))
    assert ledger.snapshot().reserved == Spending(evaluations=4, tokens=60, usd=0.5)
    left = ledger.remaining()
    assert (left.evaluations, left.tokens, left.usd) == (6, 40, 0.5)
    reservation.book(Cost(evaluations=3, tokens=10, usd=0.25, seconds=2.5))
    books = ledger.snapshot()
    assert (books.spent.evaluations, books.spent.tokens, books.spent.usd) == (3, 10, 0.25)
    assert books.work_seconds == 2.5
    assert books.reserved == Spending()


@pytest.mark.parametrize(
    ("limits", "asked", "message"),
    [
        (Limits(evaluations=5), Cost(evaluations=6), r"limit of 5 evaluations.*6 more asked"),
        (Limits(tokens=100), Cost(tokens=101), r"limit of 100 tokens.*101 more asked"),
        (Limits(usd=0.5), Cost(usd=0.51), r"limit of 0\.5 usd.*0\.51 more asked"),
        (Limits(seconds=3), Cost(seconds=4), r"limit of 3 seconds.*4 s more"),
    ],
)
def test_a_refusal_names_the_limit_its_size_and_what_was_asked(
    limits: Limits, asked: Cost, message: str
) -> None:
    ledger = Ledger(limits, clock=Clock())
    with pytest.raises(BudgetExceeded, match=message):
        ledger.reserve(asked)
    assert ledger.snapshot().reserved == Spending()


def test_a_limit_can_be_used_to_the_last_cent_whatever_floats_do() -> None:
    ledger = Ledger(Limits(usd=0.3))
    for _ in range(3):
        ledger.reserve(Cost(usd=0.1)).book(Cost(usd=0.1))
    assert ledger.snapshot().spent.usd == 0.3
    assert ledger.remaining().usd == 0
    with pytest.raises(BudgetExceeded, match="usd"):
        ledger.reserve(Cost(usd=1e-12))


def test_no_limit_means_no_refusal() -> None:
    ledger = Ledger(Limits())
    ledger.reserve(Cost(evaluations=10**9, tokens=10**12, usd=1e6, seconds=1e9)).release()
    assert ledger.remaining().seconds == float("inf")


def test_a_body_that_dies_is_booked_in_full_and_its_error_passes() -> None:
    ledger = Ledger(Limits(evaluations=2))
    with pytest.raises(ZeroDivisionError), ledger.reserve(Cost(evaluations=2)):
        _ = 1 / 0
    assert ledger.snapshot().spent.evaluations == 2
    with pytest.raises(BudgetExceeded):
        ledger.reserve(Cost(evaluations=1))


def test_a_body_that_settles_is_not_booked_again() -> None:
    ledger = Ledger(Limits(evaluations=4))
    with ledger.reserve(Cost(evaluations=2)) as reservation:
        reservation.book(Cost(evaluations=1))
    with ledger.reserve(Cost(evaluations=3)) as reservation:
        reservation.release()
    assert ledger.snapshot().spent.evaluations == 1
    with pytest.raises(MeritreeError, match="only once"):
        reservation.book(Cost())


def test_an_overrun_is_booked_truthfully_flagged_and_blocks_what_follows() -> None:
    ledger = Ledger(Limits(tokens=100, evaluations=50))
    reservation = ledger.reserve(Cost(tokens=60))
    reservation.book(Cost(tokens=130))
    assert reservation.overrun
    assert ledger.snapshot().spent.tokens == 130
    assert ledger.snapshot().overruns == 1
    assert ledger.remaining().tokens == 0
    with pytest.raises(BudgetExceeded, match="tokens"):
        ledger.reserve(Cost(evaluations=1))


def test_the_wall_clock_counts_from_the_start_and_work_must_fit_before_the_end() -> None:
    clock = Clock()
    ledger = Ledger(Limits(seconds=10), clock=clock)
    clock.now += 7
    workers = [ledger.reserve(Cost(seconds=3)) for _ in range(4)]  # side by side, not in a row
    with pytest.raises(BudgetExceeded, match="seconds"):
        ledger.reserve(Cost(seconds=3.5))
    clock.now += 2
    assert ledger.snapshot().reserved.seconds == pytest.approx(1)
    for worker in workers:
        worker.book(Cost(seconds=2))
    assert ledger.snapshot().spent.seconds == pytest.approx(9)
    assert ledger.snapshot().work_seconds == 8
    clock.now += 1
    with pytest.raises(BudgetExceeded, match=r"limit of 10 seconds is reached"):
        ledger.reserve(Cost())


def test_the_clock_is_monotonic_time() -> None:
    ledger = Ledger(Limits(seconds=0.02))
    time.sleep(0.03)
    with pytest.raises(BudgetExceeded, match="seconds"):
        ledger.reserve(Cost())


def test_a_resumed_run_pays_for_its_earlier_parts() -> None:
    clock = Clock()
    first = Ledger(Limits(seconds=10, evaluations=5), clock=clock)
    first.reserve(Cost(evaluations=3, usd=0.1)).book(Cost(evaluations=3, usd=0.1))
    clock.now += 6
    stored = json.loads(json.dumps(dataclasses.asdict(first.snapshot().spent)))
    clock.now += 500  # nobody pays for the night between
    second = Ledger(Limits(seconds=10, evaluations=5), clock=clock)
    second.restore(Spending(**stored))
    clock.now += 1
    assert second.remaining().evaluations == 2
    assert second.remaining().seconds == pytest.approx(3)
    assert second.snapshot().spent == Spending(3, pytest.approx(7), 0, 0.1)  # type: ignore[arg-type]
    second.reserve(Cost(evaluations=1))
    with pytest.raises(MeritreeError, match="before its first reservation"):
        second.restore(Spending())


@pytest.mark.parametrize("bad", [-1, float("nan")])
def test_impossible_limits_are_bad_input(bad: float) -> None:
    with pytest.raises(BadInput, match="impossible"):
        Limits(seconds=bad)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_impossible_amounts_are_refused(bad: float) -> None:
    ledger = Ledger(Limits())
    with pytest.raises(MeritreeError, match="impossible"):
        ledger.reserve(Cost(usd=bad))


counts = st.integers(0, 12)
money = st.integers(0, 12).map(lambda n: n * 0.07)
costs = st.builds(Cost, evaluations=counts, tokens=counts, usd=money, seconds=st.floats(0, 3))


class Books(RuleBasedStateMachine):
    """The ledger against a list of what was granted and booked."""

    reservations = Bundle("reservations")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.limits = Limits(evaluations=40, tokens=40, usd=3.0, seconds=30)
        self.ledger = Ledger(self.limits, clock=self.clock)
        self.granted: list[tuple[Reservation, float]] = []
        self.booked: list[Cost] = []
        self.overran = False

    def totals(self, name: str) -> float:
        promised = sum(getattr(r.size, name) for r, _ in self.granted)
        return promised + sum(getattr(c, name) for c in self.booked)

    @rule(target=reservations, size=costs)
    def reserve(self, size: Cost) -> object:
        fits = self.clock.now - 1000 + size.seconds <= 30 and self.clock.now - 1000 < 30
        for name in ("evaluations", "tokens", "usd"):
            total = self.totals(name) + getattr(size, name)
            fits = fits and total <= getattr(self.limits, name) + 1e-9
        try:
            reservation = self.ledger.reserve(size)
        except BudgetExceeded:
            assert not fits
            return None
        assert fits
        self.granted.append((reservation, self.clock.now - 1000 + size.seconds))
        return reservation

    def forget(self, reservation: Reservation) -> None:
        self.granted = [entry for entry in self.granted if entry[0] is not reservation]

    @rule(reservation=consumes(reservations), share=st.floats(0, 1))
    def book_less(self, reservation: Reservation | None, share: float) -> None:
        if reservation is None:
            return
        size = reservation.size
        actual = Cost(
            evaluations=int(size.evaluations * share),
            tokens=int(size.tokens * share),
            usd=round(size.usd * share, 6),
            seconds=size.seconds * share,
        )
        reservation.book(actual)
        assert not reservation.overrun
        self.forget(reservation)
        self.booked.append(actual)

    @rule(reservation=consumes(reservations))
    def release(self, reservation: Reservation | None) -> None:
        if reservation is not None:
            reservation.release()
            self.forget(reservation)

    @rule(reservation=consumes(reservations), extra=st.integers(1, 5))
    def book_more(self, reservation: Reservation | None, extra: int) -> None:
        if reservation is None:
            return
        actual = Cost(tokens=reservation.size.tokens + extra)
        reservation.book(actual)
        assert reservation.overrun
        self.overran = True
        self.forget(reservation)
        self.booked.append(actual)

    @rule(seconds=st.floats(0, 4))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def the_books_agree_and_no_limit_is_exceeded(self) -> None:
        books = self.ledger.snapshot()
        for name in ("evaluations", "tokens", "usd"):
            total = getattr(books.spent, name) + getattr(books.reserved, name)
            assert total == pytest.approx(self.totals(name))
            if not self.overran or name != "tokens":
                assert total <= getattr(self.limits, name)
        assert all(deadline <= 30 for _, deadline in self.granted)
        assert books.reservations == len(self.granted)


Books.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_any_sequence_of_calls_keeps_the_books_and_the_limits = Books.TestCase


def run_schedule(seed: int) -> None:
    """Eight workers at random speed against one ledger, and a ninth thread that watches."""
    limits = Limits(evaluations=60, tokens=500, usd=0.5)
    ledger = Ledger(limits)
    over = threading.Event()
    booked: list[Cost] = []
    exceeded: list[object] = []

    def work(worker: int) -> None:
        chance = random.Random(seed * 8 + worker)
        for _ in range(30):
            size = Cost(
                evaluations=chance.randint(0, 3),
                tokens=chance.randint(0, 30),
                usd=chance.random() / 30,
            )
            try:
                reservation = ledger.reserve(size)
            except BudgetExceeded:
                continue
            fate = chance.random()
            if fate < 0.2:
                reservation.release()
                continue
            part = fate if fate < 0.8 else 1.0
            actual = Cost(evaluations=int(size.evaluations * part), tokens=int(size.tokens * part))
            booked.append(actual)
            reservation.book(actual)

    def watch() -> None:
        while not over.is_set():
            books = ledger.snapshot()
            for name in ("evaluations", "tokens", "usd"):
                total = getattr(books.spent, name) + getattr(books.reserved, name)
                if total > getattr(limits, name):
                    exceeded.append((name, total))
            time.sleep(0.0005)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    guard = threading.Thread(target=watch)
    for thread in (guard, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    guard.join()
    books = ledger.snapshot()
    assert exceeded == []
    assert books.reservations == 0
    assert books.reserved == Spending()
    assert books.spent.evaluations == sum(c.evaluations for c in booked) <= 60
    assert books.spent.tokens == sum(c.tokens for c in booked) <= 500


def test_eight_workers_never_exceed_a_limit_on_any_of_many_schedules() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # let the threads interrupt each other everywhere
    try:
        for seed in range(100):
            run_schedule(seed)
    finally:
        sys.setswitchinterval(interval)
