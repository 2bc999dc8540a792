"""A model behind any endpoint that speaks OpenAI's chat completions.

OpenAI, Anthropic's and Google's compatible endpoints, OpenRouter, vLLM, Ollama, llama.cpp and
`meritree serve-model` do. Where they differ, the endpoint's refusal teaches the dialect.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meritree.errors import BadInput
from meritree.respond.address import OPENAI, parse_address
from meritree.respond.codec import call_from_raw
from meritree.respond.connection import Connection
from meritree.respond.data import Reply, Request, Usage
from meritree.respond.errors import ModelError, Rejected
from meritree.respond.model import (
    DEFAULT_MAX_TOKENS,
    CountTokens,
    Patience,
    prompt_bound,
    untold_usage,
    utf8_bytes,
)
from meritree.respond.prices import Price, Prices, packaged_prices
from meritree.respond.reading import Reader, read_reply
from meritree.respond.refusals import learnt
from meritree.respond.retry import with_retries
from meritree.respond.secret import masked
from meritree.respond.wire import Dialect, encode_request
from meritree.run.ledger import Spending

if TYPE_CHECKING:
    from meritree.respond._http import Response
    from meritree.respond.tape import Recorded, Tape

_LESSONS = 6  # refusals that one request may learn from


class OpenAIChat:
    """See the module. Safe to share between threads; holds no key.

    Args:
        name: of the model, as the endpoint knows it.
        base_url: of the endpoint, such as ``http://127.0.0.1:8000/v1``.
        api_key_env: the variable that holds the key; None takes the one of a known provider
            (``OPENAI_API_KEY`` for OpenAI, ...) and ``MERITREE_API_KEY`` for all others.
        timeout: seconds for a whole reply.
        retries: further attempts after a failure that may pass; `patience` says more.
        patience: how long to wait between them.
        max_tokens: the longest reply where a request does not say.
        stream: ask for a stream: a broken connection is then noticed at once.
        on_text: is shown each piece of a stream's text, in the thread that asks.
        prices: where to look up what tokens cost.
        tape: a recording to answer from and to record to.
        count: tokens of a text, for upper bounds; the default is true for every model.

    Raises:
        BadInput: the name is empty or the URL is none.
    """

    def __init__(
        self,
        name: str,
        base_url: str = OPENAI,
        *,
        api_key_env: str | None = None,
        timeout: float = 600.0,
        retries: int = 5,
        patience: Patience | None = None,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        stream: bool = False,
        on_text: Callable[[str], None] | None = None,
        prices: Prices | None = None,
        tape: Tape | None = None,
        count: CountTokens = utf8_bytes,
    ) -> None:
        if not name.strip():
            raise BadInput("--model is empty; give the name that the endpoint knows")
        if not timeout > 0:
            raise BadInput(f"a timeout of {timeout} s is impossible; give more than 0")
        self.name = name
        self.address = parse_address(base_url, api_key_env)
        self.price: Price | None = (packaged_prices() if prices is None else prices).find(name)
        self.patience = Patience(retries) if patience is None else patience
        self.timeout = timeout
        self.max_tokens = max_tokens
        self.stream = stream or on_text is not None
        self._on_text = on_text
        self._tape = tape
        self._count = count
        self._dialect = Dialect()
        self._connection = Connection(self.address, name)

    def __repr__(self) -> str:
        return f"OpenAIChat({self.name!r}, {self.address.base!r})"

    # ---- Model ----------------------------------------------------------------------

    def ask(self, request: Request) -> Reply:
        """The reply, of the recording or of the endpoint, with retries.

        Raises:
            ModelError: there is none; message and subclass say why.
        """
        recalled = self.recall(request)
        if recalled is not None:
            return recalled
        return with_retries(lambda: self.attempt(request), self.patience)

    def upper_bound(self, request: Request) -> Spending:
        """The most that one attempt can cost."""
        prompt = prompt_bound(request, self._count)
        written = self.max_tokens if request.max_tokens is None else request.max_tokens
        usd = float("inf") if self.price is None else self.price.most(prompt, written)
        return Spending(seconds=self._seconds(request), tokens=prompt + written, usd=usd)

    # ---- Endpoint -------------------------------------------------------------------

    def recall(self, request: Request) -> Reply | None:
        """The recorded reply to the next occurrence of this request, None where there is none.

        Raises:
            NotRecorded: there is none and the recording is strict.
        """
        if self._tape is None:
            return None
        found = self._tape.recall(self._hash(request), f"model {self.name!r}")
        return None if found is None else self._replayed(request, found)

    def attempt(self, request: Request) -> Reply:
        """One attempt (and one more for each lesson about the endpoint's dialect).

        Raises:
            ModelError: it failed; the error says what it may have cost.
        """
        recalled = self.recall(request)
        if recalled is not None:
            return recalled
        try:
            return self._attempt(request)
        except ModelError as error:  # should the endpoint have repeated the key
            error.args = (masked(str(error), self._variable),)
            raise

    def _attempt(self, request: Request) -> Reply:
        deadline = time.monotonic() + self._seconds(request)
        for _ in range(_LESSONS):
            dialect = self._dialect
            body = self._body(request, dialect)
            reader = Reader(self._connection.who, self._on_text)
            response = self._connection.exchange(
                self.address.chat,
                _encoded(body),
                max(0.01, deadline - time.monotonic()),
                reader.take,
            )
            if 200 <= response.status < 300:
                return self._good(request, reader.finish(), response)
            better = learnt(dialect, body, response.status, response.body)
            if better is None:
                break
            self._dialect = better
        raise self._connection.refused(response)

    # ---- parts ----------------------------------------------------------------------

    @property
    def _variable(self) -> str:
        return self.address.key_variable

    def _seconds(self, request: Request) -> float:
        return self.timeout if request.timeout is None else min(self.timeout, request.timeout)

    def _body(self, request: Request, dialect: Dialect) -> dict[str, Any]:
        if request.max_tokens is None:
            request = replace(request, max_tokens=self.max_tokens)
        return encode_request(request, self.name, dialect, stream=self.stream)

    def _hash(self, request: Request) -> str:
        from meritree.respond.tape import request_hash

        # In the plain dialect, so that what a process has learnt does not matter.
        return request_hash(self.address.scope, self._body(request, Dialect()))

    def _good(self, request: Request, reply: Reply, response: Response) -> Reply:
        reply = self._priced(request, _scrubbed(reply, self._variable))
        if self._tape is None:
            return reply
        text = masked(response.body.decode("utf-8", "replace"), self._variable)
        kind = response.headers.get("content-type", "")
        kept = self._tape.store(self._hash(request), self.name, kind, text.encode("utf-8"))
        return replace(reply, key=kept.key)

    def _replayed(self, request: Request, found: Recorded) -> Reply:
        reply = self._priced(request, read_reply(found.body, self._connection.who))
        if self._on_text is not None and reply.text:
            self._on_text(reply.text)
        return replace(reply, key=found.key, usd=0.0)

    def _priced(self, request: Request, reply: Reply) -> Reply:
        usage: Usage = reply.usage
        if not usage.told:
            usage = untold_usage(request, reply, self._count)
        usd = None if self.price is None else self.price.usd(usage)
        return replace(reply, usage=usage, usd=usd, model=reply.model or self.name)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._connection.close()

    def __enter__(self) -> OpenAIChat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _scrubbed(reply: Reply, variable: str) -> Reply:
    """The reply without the key, should the endpoint have put it there."""
    calls = tuple(
        call
        if masked(call.raw, variable) == call.raw
        else call_from_raw(call.id, call.name, masked(call.raw, variable), call.extra)
        for call in reply.tool_calls
    )
    text, thoughts = masked(reply.text, variable), masked(reply.reasoning, variable)
    return replace(reply, text=text, reasoning=thoughts, tool_calls=calls)


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as error:
        raise Rejected(f"the request cannot be written as JSON: {error}; mend its tools") from None
