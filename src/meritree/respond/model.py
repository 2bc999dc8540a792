"""Whoever can be asked: the one protocol that agents, judges and studies see.

A model is synchronous and safe to ask from several threads at once; whoever wants parallel
replies uses threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from meritree.respond.data import Message, Reply, Request, Usage
from meritree.run.ledger import Spending

DEFAULT_MAX_TOKENS = 4096
_PER_MESSAGE = 16  # role marks and separators of the chat templates known to us, rounded up
_PER_REQUEST = 64
_PER_TOOL = 32

CountTokens = Callable[[str], int]


@runtime_checkable
class Model(Protocol):
    """Something that replies to a conversation."""

    @property
    def name(self) -> str:
        """As the endpoint knows it."""
        ...

    def ask(self, request: Request) -> Reply:
        """Return the reply; blocks until it is whole.

        Raises:
            ModelError: there is none; its subclass and message say why.
        """
        ...

    def upper_bound(self, request: Request) -> Spending:
        """The most that one `ask` can cost; ``usd`` is ``inf`` where no price is known.

        ``seconds`` is the longest that it may take, 0 where that is not known.
        """
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to wait when an endpoint fails in a way that may pass.

    Attributes:
        retries: further attempts after the first one.
        first: seconds before the first retry; doubled for each further one.
        longest: the most seconds before one retry, also where the endpoint asks for more.
    """

    retries: int = 5
    first: float = 1.0
    longest: float = 60.0


@runtime_checkable
class Endpoint(Model, Protocol):
    """A model behind a wire: each attempt can be paid on its own, and some cost nothing."""

    @property
    def patience(self) -> Patience:
        """When to try again."""
        ...

    def recall(self, request: Request) -> Reply | None:
        """The recorded reply, if there is one: nobody is asked, nothing is paid."""
        ...

    def attempt(self, request: Request) -> Reply:
        """One attempt, without retries.

        Raises:
            ModelError: it failed.
        """
        ...


@runtime_checkable
class Wrapper(Model, Protocol):
    """A model that asks another one, perhaps several times."""

    def rewrapped(self, wrap: Callable[[Model], Model]) -> Model:
        """The same around ``wrap`` of the inner model."""
        ...


def utf8_bytes(text: str) -> int:
    """A true upper bound of the tokens of ``text``: a token covers at least one byte.

    (Byte-level vocabularies, as of all models in wide use; about four times the real number for
    English and code. Give a tokenizer's own count where budgets are tight.)
    """
    return len(text.encode("utf-8", "surrogatepass"))


def about_tokens(text: str) -> int:
    """Roughly the tokens of English or code: a quarter of the bytes, rounded up."""
    return -(-utf8_bytes(text) // 4)


def prompt_bound(request: Request, count: CountTokens = utf8_bytes) -> int:
    """The most prompt tokens that ``request`` can have."""
    tools = sum(
        _PER_TOOL + count(tool.name) + count(tool.description) + 2 * count(str(tool.parameters))
        for tool in request.tools
    )
    return _PER_REQUEST + tools + sum(_message_bound(one, count) for one in request.messages)


def _message_bound(message: Message, count: CountTokens) -> int:
    calls = sum(
        _PER_MESSAGE + count(call.id) + count(call.name) + count(call.raw or str(call.arguments))
        for call in message.tool_calls
    )
    return _PER_MESSAGE + count(message.text) + count(message.tool_call_id) + calls


def untold_usage(request: Request, reply: Reply, count: CountTokens = utf8_bytes) -> Usage:
    """Usage where nobody tells it: our own count, an upper bound where ``count`` is one."""
    written = count(reply.text) + count(reply.reasoning)
    written += sum(count(call.name) + count(call.raw) for call in reply.tool_calls)
    return Usage(prompt_bound(request, count), written, told=False)


def free_bound(request: Request, count: CountTokens = utf8_bytes) -> Spending:
    """Upper bound for a model that costs no money."""
    written = DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens
    return Spending(tokens=prompt_bound(request, count) + written)


def is_priced(model: Model) -> bool:
    """Whether a price is known for the model."""
    return math.isfinite(model.upper_bound(Request(())).usd)
