"""Texts as vectors from any endpoint that speaks OpenAI's ``/v1/embeddings``.

Every attempt is paid from a ledger where one is given. Holds no key and caches nothing.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from meritree.errors import BadInput
from meritree.respond.address import OPENAI, parse_address
from meritree.respond.codec import loads
from meritree.respond.connection import Connection
from meritree.respond.data import Usage
from meritree.respond.errors import BrokenReply, ModelError
from meritree.respond.model import CountTokens, Patience, utf8_bytes
from meritree.respond.prices import Price, Prices, packaged_prices
from meritree.respond.retry import with_retries
from meritree.respond.secret import masked
from meritree.run.ledger import Ledger, Limits, Spending

Vectors = list[list[float]]


class EmbeddingError(BrokenReply):
    """Vectors came back that cannot be used."""


class Embeddings:
    """An embedding model behind an endpoint; call it with texts. Safe to share between threads.

    Args:
        name: of the model, as the endpoint knows it.
        base_url: of the endpoint, such as ``http://127.0.0.1:8000/v1``.
        api_key_env: as of `OpenAIChat`.
        ledger: what pays; None: nobody counts.
        timeout: seconds for one batch.
        patience: how often to try again.
        prices: where to look up what tokens cost.
        count: tokens of a text, for the reservation.
        sleep: replaced in tests.

    Raises:
        BadInput: no name, no URL, or a ledger that limits money while no price is known.
    """

    def __init__(
        self,
        name: str,
        base_url: str = OPENAI,
        *,
        api_key_env: str | None = None,
        ledger: Ledger | None = None,
        timeout: float = 120.0,
        patience: Patience | None = None,
        prices: Prices | None = None,
        count: CountTokens = utf8_bytes,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not name.strip():
            raise BadInput("the embedding model has no name; give the one that the endpoint knows")
        if not timeout > 0:
            raise BadInput(f"a timeout of {timeout} s is impossible; give more than 0")
        self.name = name
        self.address = parse_address(base_url, api_key_env)
        self.price: Price | None = (packaged_prices() if prices is None else prices).find(name)
        self.ledger = Ledger(Limits()) if ledger is None else ledger
        if self.ledger.limits.usd is not None and self.price is None:
            raise BadInput(
                f"a budget of {self.ledger.limits.usd:g} usd cannot be kept: no price is known for "
                f"the embedding model {name!r}; state it in [tool.meritree.prices], or limit tokens"
            )
        self._timeout = timeout
        self._patience = Patience() if patience is None else patience
        self._count = count
        self._sleep = sleep
        self._connection = Connection(self.address, name, "embedding model")

    def __repr__(self) -> str:
        return f"Embeddings({self.name!r}, {self.address.base!r})"

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """One vector for each text, in order; one request.

        Raises:
            ModelError: there are none.
            BudgetExceeded: the request might cost more than is left; it was not made.
        """
        if not texts:
            return []
        return with_retries(lambda: self._attempt(texts), self._patience, sleep=self._sleep)

    def _attempt(self, texts: Sequence[str]) -> Vectors:
        try:
            return self._paid(texts)
        except ModelError as error:
            error.args = (masked(str(error), self.address.key_variable),)
            raise

    def _paid(self, texts: Sequence[str]) -> Vectors:
        tokens = sum(self._count(text) for text in texts)
        usd = 0.0 if self.price is None else self.price.most(tokens, 0)
        left = self.ledger.remaining().seconds
        seconds = min(self._timeout, left * 0.95) if math.isfinite(left) else 0.0
        with self.ledger.reserve(Spending(seconds=seconds, tokens=tokens, usd=usd)) as reserved:
            begun = time.monotonic()
            try:
                document = self._asked(texts, seconds or self._timeout)
                vectors, told = _vectors(document, len(texts)), _tokens(document)
            except ModelError as error:
                took = min(time.monotonic() - begun, seconds)
                paid = (tokens, usd) if error.may_be_billed else (0, 0.0)
                reserved.book(Spending(seconds=took, tokens=paid[0], usd=paid[1]))
                raise
            took = min(time.monotonic() - begun, seconds)
            if told is not None:
                tokens = told
                usd = 0.0 if self.price is None else self.price.usd(Usage(prompt=told))
            reserved.book(Spending(seconds=took, tokens=tokens, usd=usd))
        return vectors

    def _asked(self, texts: Sequence[str], seconds: float) -> Any:
        body = {"model": self.name, "input": list(texts), "encoding_format": "float"}
        response = self._connection.exchange(
            f"{self.address.base}/embeddings", json.dumps(body).encode("ascii"), seconds
        )
        if not 200 <= response.status < 300:
            raise self._connection.refused(response)
        try:
            return loads(response.body)
        except ValueError as error:
            raise EmbeddingError(
                f"{self._connection.who} sent what is no JSON: {error}", may_be_billed=True
            ) from None


def _vectors(document: Any, count: int) -> Vectors:
    try:
        rows = sorted(document["data"], key=lambda row: row["index"])
        vectors = [[float(number) for number in row["embedding"]] for row in rows]
        right = [row["index"] for row in rows] == list(range(count))
    except (TypeError, KeyError, ValueError, AttributeError):
        vectors, right = [], False
    if not right or not all(vectors) or len({len(vector) for vector in vectors}) != 1:
        raise EmbeddingError(
            f"the endpoint's reply holds no {count} vectors of one length under data[].embedding; "
            "is it an embedding endpoint?",
            may_be_billed=True,
        )
    return vectors


def _tokens(document: Any) -> int | None:
    usage = document.get("usage") if isinstance(document, dict) else None
    told = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return told if isinstance(told, int) and not isinstance(told, bool) and told >= 0 else None
