"""Whatever is asked is paid: reserved before, booked after, failures included."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from meritree.errors import BadInput, BudgetExceeded
from meritree.respond import (
    BrokenReply,
    FunctionModel,
    OpenAIChat,
    Overloaded,
    Patience,
    Prices,
    Reply,
    Request,
    ScriptedModel,
    ScriptEnded,
    TimedOut,
    Usage,
    ledgered,
    user,
)
from meritree.respond.faults import Faults
from meritree.respond.ledgered import Ledgered
from meritree.respond.server import ModelServer, Service
from meritree.run.ledger import Ledger, Limits, Spending

HELLO = Request((user("hello"),), max_tokens=10)


class Wire:
    """An endpoint in memory: prices known or not, attempts that fail as told."""

    name = "wire"

    def __init__(self, script: list[Reply | Exception], usd: float = 0.001) -> None:
        self.script = script
        self.usd = usd
        self.asked: list[Request] = []
        self.patience = Patience(retries=3, first=0.0)
        self.recorded: Reply | None = None

    def recall(self, request: Request) -> Reply | None:
        return self.recorded

    def attempt(self, request: Request) -> Reply:
        self.asked.append(request)
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    ask = attempt

    def upper_bound(self, request: Request) -> Spending:
        return Spending(seconds=60, tokens=100, usd=self.usd)


def test_a_reply_is_booked_at_what_it_cost() -> None:
    ledger = Ledger(Limits(tokens=1000))
    model = ledgered(ScriptedModel([Reply("hi", usage=Usage(7, 3))]), ledger)
    assert model.ask(HELLO).text == "hi"
    assert ledger.snapshot().spent.tokens == 10
    assert ledger.snapshot().reserved.tokens == 0


def test_a_call_that_could_exceed_the_budget_is_not_made() -> None:
    inner = ScriptedModel(["hi"])
    ledger = Ledger(Limits(tokens=50))
    with pytest.raises(BudgetExceeded, match="50 tokens"):
        ledgered(inner, ledger).ask(HELLO)
    assert inner.requests == []
    assert ledger.snapshot().spent.tokens == 0


def test_parallel_calls_never_exceed_the_budget_together() -> None:
    limit = 1000
    ledger = Ledger(Limits(tokens=limit))
    inside = threading.Barrier(2, timeout=5)
    arrivals = itertools.count()

    def reply(request: Request) -> Reply:
        if next(arrivals) < 2:
            inside.wait()
        books = ledger.snapshot()
        assert books.spent.tokens + books.reserved.tokens <= limit
        return Reply("hi", usage=Usage(20, 10))

    model = ledgered(FunctionModel(reply), ledger)

    def ask(_: int) -> bool:
        try:
            model.ask(HELLO)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        served = sum(pool.map(ask, range(100)))
    assert 2 <= served < 100
    assert ledger.snapshot().spent.tokens == 30 * served <= limit


def test_failed_attempts_are_booked_as_told_and_at_their_bound_where_untold() -> None:
    ledger = Ledger(Limits(tokens=10_000, usd=1))
    wire = Wire(
        [
            Overloaded("busy"),
            BrokenReply("half", usage=Usage(5, 2)),
            TimedOut("slow", may_be_billed=True),
            Reply("hi", usage=Usage(3, 1), usd=0.0001),
        ]
    )
    assert Ledgered(wire, ledger, sleep=lambda _: None).ask(HELLO).text == "hi"
    spent = ledger.snapshot().spent
    assert spent.tokens == 0 + 7 + 100 + 4
    assert spent.usd == pytest.approx(0.001 + 0.001 + 0.0001)
    assert ledger.snapshot().reservations == 0


def test_every_retry_must_fit_into_the_budget() -> None:
    ledger = Ledger(Limits(tokens=250))
    wire = Wire([TimedOut("slow", may_be_billed=True) for _ in range(9)])
    with pytest.raises(BudgetExceeded):
        Ledgered(wire, ledger, sleep=lambda _: None).ask(HELLO)
    assert len(wire.asked) == 2
    assert ledger.snapshot().spent.tokens == 200


def test_an_error_of_the_model_that_nobody_foresaw_is_paid_in_full() -> None:
    ledger = Ledger(Limits())
    model = ledgered(ScriptedModel([ZeroDivisionError()]), ledger)
    with pytest.raises(ZeroDivisionError):
        model.ask(HELLO)
    assert ledger.snapshot().spent.tokens == model.upper_bound(HELLO).tokens > 0


def test_a_recorded_reply_costs_nothing_even_with_no_budget() -> None:
    ledger = Ledger(Limits(tokens=0, usd=0))
    wire = Wire([])
    wire.recorded = Reply("again", usage=Usage(50, 50), usd=1.0, replayed=True)
    assert ledgered(wire, ledger).ask(HELLO).text == "again"
    assert ledger.snapshot().spent.tokens == 0
    assert ledger.snapshot().spent.usd == 0


def test_a_reply_that_was_recorded_meanwhile_by_another_thread_costs_nothing() -> None:
    ledger = Ledger(Limits(tokens=1000))
    ledgered(Wire([Reply("again", usage=Usage(50, 50), replayed=True)]), ledger).ask(HELLO)
    assert ledger.snapshot().spent.tokens == 0


def test_a_budget_of_money_needs_a_price() -> None:
    wire = Wire([Reply("hi", usage=Usage(1, 1))], usd=float("inf"))
    with pytest.raises(BadInput, match=r"no price is known for model 'wire'.*prices"):
        ledgered(wire, Ledger(Limits(usd=5)))
    assert ledgered(wire, Ledger(Limits(tokens=500))).ask(HELLO).usd is None


def test_a_call_is_given_no_more_time_than_the_run_has_left() -> None:
    wire = Wire([Reply("hi")])
    ledgered(wire, Ledger(Limits(seconds=7))).ask(HELLO)
    timeout = wire.asked[0].timeout
    assert timeout is not None
    assert 0 < timeout < 7


def test_a_script_that_ends_says_so() -> None:
    model = ScriptedModel(["one"])
    assert model.ask(HELLO).text == "one"
    with pytest.raises(ScriptEnded, match="has 1 replies and was asked for number 2"):
        model.ask(replace(HELLO, seed=1))
    assert len(model.requests) == 2


def test_no_wait_goes_beyond_the_end_of_the_run() -> None:
    waits: list[float] = []
    wire = Wire([Overloaded("busy", retry_after=30)] * 9)
    wire.patience = Patience(retries=9, first=1.0)
    with pytest.raises(Overloaded):
        Ledgered(wire, Ledger(Limits(seconds=5)), sleep=waits.append).ask(HELLO)
    assert waits == []


@pytest.mark.parametrize("stream", [False, True])
def test_over_a_real_wire_with_faults_every_attempt_is_in_the_books(stream: bool) -> None:
    prices = Prices().extended({"m": {"prompt": 2, "completion": 6}}, "test")
    said = ScriptedModel([Reply("good", usage=Usage(20, 5))], again=True)
    plan = Faults("429,500,close,half,ok,empty,ok,ok")
    ledger = Ledger(Limits(usd=1, tokens=10_000_000))
    with ModelServer(Service(said, faults=plan)) as server:
        chat = OpenAIChat(
            "m", server.base_url, prices=prices, stream=stream, patience=Patience(9, first=0.001)
        )
        model = ledgered(chat, ledger)
        assert [model.ask(HELLO).text for _ in range(3)] == ["good"] * 3
        assert server.calls == 8
    bound = chat.upper_bound(HELLO)
    books = ledger.snapshot()
    # Refusals are free; broken and empty replies did not tell and are paid at their bound.
    assert books.spent.tokens == 3 * 25 + 3 * bound.tokens
    assert books.spent.usd == pytest.approx(3 * (40 + 30) / 1e6 + 3 * bound.usd)
    assert (books.reservations, books.overruns) == (0, 0)
