"""The ledger of a run: hard limits on evaluations, wall clock, tokens and money.

Work is reserved at its upper bound before it starts and booked at its actual cost when it
ends, so that parallel workers can never exceed a limit together. It must not know what the
work is.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Protocol

from meritree.errors import BadInput, BudgetExceeded, MeritreeError

_PICO = 10**12  # money is summed in whole pico-dollars: exact, where floats would drift


class Amounts(Protocol):
    """Anything with the four quantities, such as `meritree.value.estimate.Cost`."""

    @property
    def evaluations(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def tokens(self) -> int: ...
    @property
    def usd(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The hard limits of a run; None means no limit, as does an infinite one.

    Attributes:
        evaluations: candidate evaluations.
        seconds: wall clock since the ledger was made, earlier parts of the run included.
        tokens: language-model tokens, prompt and completion.
        usd: money in US dollars, resolved to 1e-12.
    """

    evaluations: int | None = None
    seconds: float | None = None
    tokens: int | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value >= 0:
                raise BadInput(f"budget of {value} {field.name} is impossible; give 0 or more")


@dataclass(frozen=True, slots=True)
class Spending:
    """Quantities of the four limited things; satisfies `Amounts`."""

    evaluations: int = 0
    seconds: float = 0.0
    tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The books at one moment.

    Attributes:
        spent: booked so far; its ``seconds`` are the wall clock, earlier parts included.
        reserved: promised to work in progress; its ``seconds`` are how far beyond now the
            last of it may run.
        work_seconds: sum of the booked durations (over all workers: may exceed the wall clock).
        reservations: how many are in progress.
        overruns: how many bookings were above their reservation.
        bookings: how many pieces of work were booked, those that died included.
        died: how many of them ended without saying what they cost, and were booked in full.
    """

    spent: Spending
    reserved: Spending
    work_seconds: float
    reservations: int
    overruns: int
    bookings: int = 0
    died: int = 0


class Reservation:
    """A promise of the ledger; settle it exactly once with `book` or `release`.

    As a context manager it books its whole size if the body ends without settling it
    (normally or by an exception): work that died is paid in full, never forgotten.
    """

    def __init__(self, ledger: Ledger, size: Spending, deadline: float) -> None:
        self.size = size
        self._ledger = ledger
        self._deadline = deadline
        self.settled = False
        self.overrun = False

    def book(self, actual: Amounts) -> None:
        """Replace the reservation by what the work really cost.

        More than was reserved is booked truthfully and flagged (``overrun``). If that takes
        the books beyond a limit, every further reservation is refused.

        Raises:
            MeritreeError: settled already, or an impossible amount.
        """
        self._ledger._settle(self, _checked(actual, "booking"))

    def seconds_left(self) -> float:
        """How long the work may still run by the ledger's clock; 0 when its time is over.

        Whoever does the work keeps it: the ledger grants time, it cannot stop anybody.
        """
        return self._ledger._until(self._deadline)

    def release(self) -> None:
        """Give the reservation back: the work was not begun and cost nothing."""
        self._ledger._settle(self, None)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.settled:
            self._ledger._settle(self, self.size, died=True)


class Ledger:
    """Reserves and books costs under hard limits; safe to share between threads.

    At every moment, for evaluations, tokens and money: spent + reserved <= limit, unless a
    booking overran its reservation (then nothing more is granted). For the wall clock: work
    reserved for ``s`` seconds is granted only if it can end before the limit.
    """

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._start = clock()
        self._earlier = 0.0
        self._mutex = threading.Lock()
        self._spent = [0, 0, 0]  # evaluations, tokens, pico-dollars
        self._reserved = [0, 0, 0]
        self._caps = (
            limits.evaluations,
            limits.tokens,
            None if limits.usd is None or limits.usd == math.inf else round(limits.usd * _PICO),
        )
        self._open: set[Reservation] = set()
        self._work_seconds = 0.0
        self._overruns = 0
        self._bookings = 0
        self._died = 0
        self._used = False

    def reserve(self, upper_bound: Amounts) -> Reservation:
        """Reserve the most that a piece of work can cost.

        Raises:
            BudgetExceeded: it does not fit; the message names the limit, its size, what is
                spent and reserved, and what was asked.
            MeritreeError: an impossible amount (negative, not finite).
        """
        size = _checked(upper_bound, "reservation")
        asked = _units(size)
        with self._mutex:
            now = self._elapsed()
            self._check_clock(now, size.seconds)
            for index, name in enumerate(("evaluations", "tokens", "usd")):
                self._check_cap(index, name, asked[index])
            for index in range(3):
                self._reserved[index] += asked[index]
            reservation = Reservation(self, size, now + size.seconds)
            self._open.add(reservation)
            self._used = True
            return reservation

    def _check_clock(self, now: float, seconds: float) -> None:
        limit = self.limits.seconds
        if limit is None:
            return
        if now >= limit:
            raise BudgetExceeded(f"the limit of {limit:g} seconds is reached; raise it to go on")
        if now + seconds > limit:
            raise BudgetExceeded(
                f"the limit of {limit:g} seconds is reached: {now:.1f} s have passed and up to "
                f"{seconds:g} s more were asked; raise the limit to go on"
            )

    def _check_cap(self, index: int, name: str, asked: int) -> None:
        cap = self._caps[index]
        if cap is None or self._spent[index] + self._reserved[index] + asked <= cap:
            return
        scale = _PICO if name == "usd" else 1
        if self._spent[index] >= cap:
            raise BudgetExceeded(
                f"the limit of {cap / scale:g} {name} is reached; raise it to go on"
            )
        raise BudgetExceeded(
            f"the limit of {cap / scale:g} {name} would be exceeded: "
            f"{self._spent[index] / scale:g} spent, {self._reserved[index] / scale:g} reserved, "
            f"{asked / scale:g} more asked; raise the limit to go on"
        )

    def _settle(
        self, reservation: Reservation, actual: Spending | None, *, died: bool = False
    ) -> None:
        with self._mutex:
            if reservation.settled:
                raise MeritreeError("a reservation can be settled only once (booked or released)")
            reservation.settled = True
            self._open.discard(reservation)
            size = _units(reservation.size)
            for index in range(3):
                self._reserved[index] -= size[index]
            if actual is None:
                return
            self._bookings += 1
            self._died += died
            cost = _units(actual)
            for index in range(3):
                self._spent[index] += cost[index]
            self._work_seconds += actual.seconds
            late = actual.seconds > reservation.size.seconds
            if late or any(cost[i] > size[i] for i in range(3)):
                reservation.overrun = True
                self._overruns += 1

    def _until(self, deadline: float) -> float:
        with self._mutex:
            return max(0.0, deadline - self._elapsed())

    def _elapsed(self) -> float:
        return self._earlier + self._clock() - self._start

    def remaining(self) -> Spending:
        """What can still be reserved; ``inf`` seconds or usd, and ``sys.maxsize`` counts, where
        there is no limit."""
        with self._mutex:
            left = [
                None if cap is None else max(0, cap - self._spent[i] - self._reserved[i])
                for i, cap in enumerate(self._caps)
            ]
            limit = self.limits.seconds
            seconds = math.inf if limit is None else max(0.0, limit - self._elapsed())
        return Spending(
            evaluations=_NO_LIMIT if left[0] is None else left[0],
            seconds=seconds,
            tokens=_NO_LIMIT if left[1] is None else left[1],
            usd=math.inf if left[2] is None else left[2] / _PICO,
        )

    def snapshot(self) -> Snapshot:
        """The books now; `dataclasses.asdict` of it is plain JSON."""
        with self._mutex:
            now = self._elapsed()
            ahead = max((r._deadline - now for r in self._open), default=0.0)
            return Snapshot(
                spent=_spending(self._spent, now),
                reserved=_spending(self._reserved, max(0.0, ahead)),
                work_seconds=self._work_seconds,
                reservations=len(self._open),
                overruns=self._overruns,
                bookings=self._bookings,
                died=self._died,
            )

    def restore(self, spent: Amounts) -> None:
        """Start from what earlier parts of a resumed run spent (their wall clock included).

        Raises:
            MeritreeError: something was reserved already, or an impossible amount.
        """
        earlier = _checked(spent, "restored spending")
        with self._mutex:
            if self._used:
                raise MeritreeError("a ledger must be restored before its first reservation")
            self._spent = list(_units(earlier))
            self._earlier = earlier.seconds
            self._start = self._clock()


_NO_LIMIT = (1 << 63) - 1


def _checked(amounts: Amounts, what: str) -> Spending:
    checked = Spending(amounts.evaluations, amounts.seconds, amounts.tokens, amounts.usd)
    for field in fields(checked):
        value = getattr(checked, field.name)
        if not 0 <= value < math.inf:
            raise MeritreeError(
                f"{what} of {value} {field.name} is impossible; give a finite number, 0 or more"
            )
    return checked


def _units(amounts: Spending) -> tuple[int, int, int]:
    return amounts.evaluations, amounts.tokens, round(amounts.usd * _PICO)


def _spending(units: list[int], seconds: float) -> Spending:
    return Spending(units[0], seconds, units[1], units[2] / _PICO)
