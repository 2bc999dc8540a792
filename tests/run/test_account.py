"""An account sees its part of a ledger's spending and adds no limit of its own."""

from __future__ import annotations

import pytest

from meritree.errors import BudgetExceeded, MeritreeError
from meritree.run.account import Account
from meritree.run.ledger import Ledger, Limits, Spending


def test_two_accounts_share_one_limit_and_know_their_own_part() -> None:
    ledger = Ledger(Limits(tokens=100))
    one, two = Account(ledger), Account(ledger)
    one.reserve(Spending(tokens=60)).book(Spending(tokens=10, usd=0.5))
    with two.reserve(Spending(tokens=50)) as reserved:
        with pytest.raises(BudgetExceeded):
            one.reserve(Spending(tokens=50))
        reserved.book(Spending(tokens=30))
    assert (one.total.tokens, two.total.tokens) == (10, 30)
    assert one.total.usd == 0.5
    assert ledger.snapshot().spent.tokens == 40
    assert one.remaining().tokens == 60


def test_work_that_died_is_paid_in_full_and_a_release_is_free() -> None:
    account = Account(Ledger(Limits()))
    with pytest.raises(ZeroDivisionError), account.reserve(Spending(tokens=7)):
        _ = 1 / 0
    account.reserve(Spending(tokens=5)).release()
    assert account.total.tokens == 7


def test_a_reservation_is_settled_once() -> None:
    account = Account(Ledger(Limits()))
    reservation = account.reserve(Spending(tokens=1))
    reservation.book(Spending(tokens=1))
    with pytest.raises(MeritreeError, match="only once"):
        reservation.book(Spending(tokens=1))
    assert account.total.tokens == 1
