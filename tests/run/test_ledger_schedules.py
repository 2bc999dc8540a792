"""Eight workers, random latencies, calls that fail or answer nonsense: the budgets hold.

A seeded scheduler and a clock that only it moves play a thousand schedules; real threads some.
"""

from __future__ import annotations

import heapq
import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from meritree.errors import BudgetExceeded
from meritree.run.ledger import Ledger, Limits, Reservation, Spending
from meritree.value.estimate import Cost

WORKERS = 8
LIMITS = Limits(evaluations=40, tokens=6000, usd=0.08, seconds=60.0)
ROUNDS = 14  # calls that each worker tries


class Clock:
    """Seconds that only the scheduler moves."""

    now = 500.0

    def __call__(self) -> float:
        return self.now


class CallFailed(Exception):
    """The other side did not answer."""


@dataclass
class Books:
    """What the workers themselves know to have happened."""

    booked: list[Cost] = field(default_factory=list)
    died: int = 0
    refused: int = 0
    released: int = 0
    ends: list[float] = field(default_factory=list)

    def total(self) -> tuple[int, int, int]:
        return (
            sum(c.evaluations for c in self.booked),
            sum(c.tokens for c in self.booked),
            sum(round(c.usd * 10**12) for c in self.booked),
        )


def draw(chance: random.Random) -> Cost:
    """The most that a call may cost: mostly a model call, sometimes a test run."""
    if chance.random() < 0.4:
        return Cost(evaluations=chance.randint(1, 3), seconds=chance.uniform(0.1, 9))
    tokens = chance.randint(1, 900)
    return Cost(tokens=tokens, usd=tokens * 1.37e-5, seconds=chance.uniform(0.1, 20))


def usage(size: Cost, chance: random.Random) -> str:
    """What the other side says it cost; one in eight answers cannot be parsed."""
    if chance.random() < 0.125:
        return chance.choice(["", "{", '{"tokens": null}', '{"tokens": "many"}', "[]"])
    part = chance.random()
    share = {
        "tokens": int(size.tokens * part),
        "usd": size.usd * part,
        "evaluations": int(size.evaluations * part),
    }
    return json.dumps(share)


def parsed(answer: str) -> Cost:
    told = json.loads(answer)
    return Cost(evaluations=told["evaluations"], tokens=told["tokens"] + 0, usd=told["usd"] + 0.0)


def call(
    ledger: Ledger, size: Cost, chance: random.Random, books: Books, now: Callable[[], float]
) -> Iterator[float]:
    """One call: yields how long it waits; its end is whatever chance says."""
    try:
        reservation = ledger.reserve(size)
    except BudgetExceeded:
        books.refused += 1
        return
    if chance.random() < 0.05:
        reservation.release()
        books.released += 1
        return
    try:
        with reservation:
            yield from waiting(reservation, chance)
            books.ends.append(now())
            if chance.random() < 0.2:
                raise CallFailed
            actual = parsed(usage(size, chance))
            reservation.book(actual)
            books.booked.append(actual)
    except (CallFailed, ValueError, TypeError, KeyError):
        books.booked.append(size)
        books.died += 1


def waiting(reservation: Reservation, chance: random.Random) -> Iterator[float]:
    """The latency, cut where the reservation ends: some calls would never return."""
    latency = math.inf if chance.random() < 0.1 else chance.expovariate(0.3)
    yield min(latency, reservation.seconds_left())


def worker(
    ledger: Ledger, chance: random.Random, books: Books, now: Callable[[], float]
) -> Iterator[float]:
    for _ in range(ROUNDS):
        yield chance.uniform(0, 2)
        yield from call(ledger, draw(chance), chance, books, now)


def check(ledger: Ledger) -> None:
    books = ledger.snapshot()
    for name in ("evaluations", "tokens", "usd"):
        total = getattr(books.spent, name) + getattr(books.reserved, name)
        assert total <= getattr(LIMITS, name) + (1e-15 if name == "usd" else 0), name
    assert books.reservations == 0 or books.spent.seconds <= LIMITS.seconds + 1e-9


def play(seed: int) -> tuple[Ledger, Books]:
    """One schedule: whoever's time has come moves, ties are drawn."""
    chance, clock, books = random.Random(seed), Clock(), Books()
    ledger = Ledger(LIMITS, clock=clock)
    workers = [worker(ledger, random.Random(seed * 100 + n), books, clock) for n in range(WORKERS)]
    queue = [(clock.now, chance.random(), n) for n in range(WORKERS)]
    heapq.heapify(queue)
    while queue:
        clock.now, _, number = heapq.heappop(queue)
        wait = next(workers[number], None)
        check(ledger)
        if wait is not None:
            heapq.heappush(queue, (clock.now + wait, chance.random(), number))
    return ledger, books


def agree(ledger: Ledger, books: Books) -> None:
    """The ledger's books are the workers' own, to the last token and pico-dollar."""
    told = ledger.snapshot()
    spent = told.spent.evaluations, told.spent.tokens, round(told.spent.usd * 10**12)
    assert spent == books.total()
    assert told.bookings == len(books.booked)
    assert told.died == books.died
    assert told.reservations == 0
    assert told.reserved == Spending()
    assert told.overruns == 0


def test_no_budget_is_exceeded_and_every_call_is_booked_on_a_thousand_schedules() -> None:
    tight = {"evaluations": 0, "tokens": 0, "usd": 0, "seconds": 0}
    died = refused = released = 0
    for seed in range(1000):
        ledger, books = play(seed)
        agree(ledger, books)
        assert max(books.ends) - 500.0 <= LIMITS.seconds + 1e-9
        left = ledger.remaining()
        tight["evaluations"] += left.evaluations <= 3
        tight["tokens"] += left.tokens <= 600
        tight["usd"] += left.usd <= 0.008
        tight["seconds"] += max(books.ends) - 500.0 >= LIMITS.seconds - 5
        died, refused, released = (
            died + books.died,
            refused + books.refused,
            released + books.released,
        )
    # The schedules must press against every limit, or the test says nothing.
    assert min(tight.values()) > 50, tight
    assert min(died, refused, released) > 1000


@pytest.mark.parametrize("seed", range(12))
def test_threads_with_real_latencies_book_every_call(seed: int) -> None:
    limits = Limits(evaluations=60, tokens=8000, usd=0.1)
    ledger, books, lock = Ledger(limits), Books(), threading.Lock()
    over: list[object] = []

    def work(number: int) -> None:
        own, chance = Books(), random.Random(seed * 100 + number)
        for _ in range(ROUNDS):
            for wait in call(ledger, draw(chance), chance, own, time.monotonic):
                time.sleep(min(wait, 20) * 5e-5)
            now = ledger.snapshot()
            over.extend(
                name
                for name in ("evaluations", "tokens", "usd")
                if getattr(now.spent, name) + getattr(now.reserved, name)
                > getattr(limits, name) + 1e-15
            )
        with lock:
            books.booked += own.booked
            books.died += own.died

    threads = [threading.Thread(target=work, args=(n,)) for n in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert over == []
    agree(ledger, books)


def test_a_reservation_says_how_long_it_may_still_run() -> None:
    clock = Clock()
    ledger = Ledger(Limits(seconds=10), clock=clock)
    reservation = ledger.reserve(Cost(seconds=4))
    clock.now += 1.5
    assert reservation.seconds_left() == 2.5
    clock.now += 5
    assert reservation.seconds_left() == 0


def test_an_infinite_limit_is_none() -> None:
    ledger = Ledger(Limits(usd=math.inf, seconds=math.inf))
    ledger.reserve(Cost(usd=1e9, seconds=1e9)).book(Cost(usd=1e9))
    assert ledger.remaining().usd == math.inf
