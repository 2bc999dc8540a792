"""An account within a ledger: part of a run's spending, seen on its own.

Everything is reserved and booked in the ledger too; its limits are the only ones.
"""

from __future__ import annotations

import threading
from types import TracebackType

from meritree.run.ledger import Amounts, Ledger, Reservation, Spending


class Account(Ledger):
    """A ledger that passes everything on to another, and knows what went through it.

    Args:
        ledger: what pays.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.limits)
        self._parent = ledger
        self._counting = threading.Lock()
        self._total = Spending()

    @property
    def total(self) -> Spending:
        """What was booked through this account."""
        with self._counting:
            return self._total

    def reserve(self, upper_bound: Amounts) -> Reservation:
        """As the ledger's own.

        Raises:
            BudgetExceeded: the ledger refuses.
        """
        return _Counted(self._parent.reserve(upper_bound), self)

    def remaining(self) -> Spending:
        """What the ledger has left."""
        return self._parent.remaining()

    def _note(self, actual: Amounts) -> None:
        with self._counting:
            self._total = Spending(
                self._total.evaluations + actual.evaluations,
                self._total.seconds + actual.seconds,
                self._total.tokens + actual.tokens,
                self._total.usd + actual.usd,
            )


class _Counted(Reservation):
    """A reservation of the ledger; what it books is noted in the account."""

    def __init__(self, real: Reservation, account: Account) -> None:
        self.size = real.size
        self.settled = False
        self.overrun = False
        self._real = real
        self._account = account

    def book(self, actual: Amounts) -> None:
        self._real.book(actual)
        self.settled, self.overrun = True, self._real.overrun
        self._account._note(actual)

    def release(self) -> None:
        self._real.release()
        self.settled = True

    def seconds_left(self) -> float:
        return self._real.seconds_left()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.settled:  # the work died: paid in full
            self._real.__exit__(kind, error, trace)
            self.settled = True
            self._account._note(self.size)
