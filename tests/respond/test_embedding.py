"""Embeddings over real sockets, and who pays for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meritree.errors import BadInput, BudgetExceeded
from meritree.respond import Overloaded, Patience, Price, Prices, Rejected, WrongKey
from meritree.respond.embedding import EmbeddingError, Embeddings
from meritree.respond.errors import Offline
from meritree.run.ledger import Ledger, Limits

QUICK = Patience(retries=2, first=0.001, longest=0.002)


def body(*vectors: list[float], tokens: int | None = 3) -> dict[str, Any]:
    rows = [{"index": i, "embedding": one} for i, one in enumerate(vectors)]
    usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens}}
    return {"data": rows[::-1], "model": "e", **usage}


def test_vectors_come_in_the_order_of_the_texts(endpoint: Any, answer: Any) -> None:
    raw = endpoint(answer(body=body([1.0, 2.0], [3.0, 4.5])))
    ledger = Ledger(Limits(tokens=1000))
    embed = Embeddings("e", raw.base_url, ledger=ledger)
    assert embed(["one", "zwei ä"]) == [[1.0, 2.0], [3.0, 4.5]]
    assert raw.bodies == [{"model": "e", "input": ["one", "zwei ä"], "encoding_format": "float"}]
    assert ledger.snapshot().spent.tokens == 3
    assert embed([]) == []


def test_a_key_is_sent_and_never_shown(
    endpoint: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-1234")
    raw = endpoint(answer(401, {"error": {"message": "bad key sk-secret-1234"}}))
    embed = Embeddings("e", raw.base_url, api_key_env="MY_KEY")
    with pytest.raises(WrongKey) as caught:
        embed(["x"])
    assert raw.headers[0]["authorization"] == "Bearer sk-secret-1234"
    assert "sk-secret" not in str(caught.value)
    assert "sk-secret" not in repr(embed)


def test_a_busy_endpoint_is_asked_again_and_only_answers_are_paid(
    endpoint: Any, answer: Any
) -> None:
    raw = endpoint(answer(503, b"busy"), answer(body=body([1.0])))
    ledger = Ledger(Limits(tokens=1000))
    assert Embeddings("e", raw.base_url, ledger=ledger, patience=QUICK)(["x"]) == [[1.0]]
    assert ledger.snapshot().spent.tokens == 3
    assert ledger.snapshot().reservations == 0


def test_an_endpoint_that_stays_busy_ends_in_its_error(endpoint: Any, answer: Any) -> None:
    raw = endpoint(answer(429, b"busy"))
    with pytest.raises(Overloaded):
        Embeddings("e", raw.base_url, patience=QUICK)(["x"])
    assert len(raw.bodies) == 3


@pytest.mark.parametrize(
    "broken",
    [
        b"no json",
        b"[]",
        b"null",
        {"data": []},
        {"data": [{"index": 0, "embedding": []}]},
        {"data": [{"index": 1, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": ["a"]}]},
        {"data": [{"embedding": [1.0]}]},
        {"choices": []},
    ],
)
def test_a_reply_without_vectors_is_an_error_and_is_paid(
    endpoint: Any, answer: Any, broken: Any
) -> None:
    raw = endpoint(answer(body=broken))
    ledger = Ledger(Limits(tokens=1000))
    embed = Embeddings("e", raw.base_url, ledger=ledger, patience=Patience(retries=0))
    with pytest.raises(EmbeddingError):
        embed(["four"])
    assert ledger.snapshot().spent.tokens == 4


def test_nothing_is_asked_that_cannot_be_paid(endpoint: Any, answer: Any) -> None:
    raw = endpoint(answer(body=body([1.0])))
    embed = Embeddings("e", raw.base_url, ledger=Ledger(Limits(tokens=3)))
    with pytest.raises(BudgetExceeded):
        embed(["four"])
    assert raw.bodies == []


def test_money_is_booked_at_the_price_of_what_was_told(endpoint: Any, answer: Any) -> None:
    raw = endpoint(answer(body=body([1.0])))
    ledger = Ledger(Limits(usd=1.0, seconds=60.0))
    Embeddings("e", raw.base_url, ledger=ledger, prices=Prices({"e": Price(2.0, 0.0)}))(["xyz"])
    assert ledger.snapshot().spent.usd == pytest.approx(6e-6)
    assert ledger.snapshot().overruns == 0


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Embeddings(" "), "name"),
        (lambda: Embeddings("e", "ftp://x"), "ftp"),
        (lambda: Embeddings("e", timeout=0.0), "timeout"),
        (
            lambda: Embeddings("e", ledger=Ledger(Limits(usd=1.0)), prices=Prices()),
            "no price is known",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_once(make: Callable[[], Any], word: str) -> None:
    with pytest.raises(BadInput, match=word):
        make()


def test_offline_refuses_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERITREE_OFFLINE", "1")
    with pytest.raises(Offline):
        Embeddings("e", "http://example.invalid/v1")(["x"])


def test_a_refusal_is_not_repeated(endpoint: Any, answer: Any) -> None:
    raw = endpoint(answer(400, {"error": {"message": "no such input"}}))
    with pytest.raises(Rejected, match="no such input"):
        Embeddings("e", raw.base_url, patience=QUICK)(["x"])
    assert len(raw.bodies) == 1
