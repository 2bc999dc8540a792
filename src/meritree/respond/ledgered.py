"""A model that pays: every attempt is reserved in the ledger, asked, and booked.

Failed and unparsable attempts are booked too, since providers bill them; what a recording
answers costs nothing. Nothing is asked that the budget could not pay at its upper bound.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from meritree.errors import BadInput
from meritree.respond.data import Reply, Request, Usage
from meritree.respond.errors import ModelError
from meritree.respond.model import Endpoint, Model, Wrapper
from meritree.respond.retry import with_retries
from meritree.run.ledger import Ledger, Spending

_MARGIN = 0.05  # seconds between looking at the clock and reserving


@dataclass(frozen=True)
class Ledgered:
    """See `ledgered`."""

    model: Model
    ledger: Ledger
    sleep: Callable[[float], None] = time.sleep

    @property
    def name(self) -> str:
        """As of the model."""
        return self.model.name

    def upper_bound(self, request: Request) -> Spending:
        """As of the model."""
        return self.model.upper_bound(request)

    def ask(self, request: Request) -> Reply:
        """Reserve, ask, book; attempt by attempt where the model retries.

        Raises:
            BudgetExceeded: the next attempt might cost more than is left; it was not made.
            ModelError: there is no reply; what it cost is booked.
        """
        if not isinstance(self.model, Endpoint):
            return self._paid(self.model.ask, request)
        endpoint = self.model
        recalled = endpoint.recall(request)
        if recalled is not None:
            return recalled
        left = self.ledger.remaining().seconds
        return with_retries(
            lambda: self._paid(endpoint.attempt, request),
            endpoint.patience,
            deadline=None if math.isinf(left) else time.monotonic() + left,
            sleep=self.sleep,
        )

    def _paid(self, attempt: Callable[[Request], Reply], request: Request) -> Reply:
        bound = self._bound(request)
        reservation = self.ledger.reserve(bound)
        if bound.seconds:
            request = replace(request, timeout=bound.seconds)
        begun = time.monotonic()
        with reservation:  # whatever is not foreseen below is paid in full
            try:
                reply = attempt(request)
            except ModelError as error:
                seconds = time.monotonic() - begun if bound.seconds else 0.0
                reservation.book(_failed(error, bound, seconds, self._usd_of(error.usage)))
                raise
            seconds = time.monotonic() - begun if bound.seconds else 0.0
            reservation.book(_cost(reply, seconds))
        return reply

    def _bound(self, request: Request) -> Spending:
        bound = self.model.upper_bound(request)
        left = self.ledger.remaining().seconds - _MARGIN
        seconds = min(bound.seconds, left) if left > 0 else bound.seconds
        usd = bound.usd if math.isfinite(bound.usd) else 0.0
        return replace(bound, seconds=seconds, usd=usd)

    def _usd_of(self, usage: Usage | None) -> float | None:
        price = getattr(self.model, "price", None)
        if usage is None or price is None:
            return None
        return float(price.usd(usage))


def ledgered(model: Model, ledger: Ledger) -> Model:
    """Return ``model``, paying each call from ``ledger``.

    Every attempt and every repair is paid on its own: a wrapper that asks several times
    (`TextTools`) is taken apart and put around the paying model (its ``rewrapped``).

    Raises:
        BadInput: the ledger limits money and no price is known for the model: what cannot be
            counted cannot be limited.
    """
    if ledger.limits.usd is not None and not math.isfinite(model.upper_bound(Request(())).usd):
        raise BadInput(
            f"a budget of {ledger.limits.usd:g} usd cannot be kept: no price is known for model "
            f'{model.name!r}; state it, for example [tool.meritree.prices] "{model.name}" = '
            "{ prompt = 0, completion = 0 } (usd per million tokens) for a model of your own, or "
            "limit tokens instead of money"
        )
    if isinstance(model, Wrapper):
        return model.rewrapped(lambda inner: ledgered(inner, ledger))
    return Ledgered(model, ledger)


def _cost(reply: Reply, seconds: float) -> Spending:
    if reply.replayed:
        return Spending()
    return Spending(seconds=seconds, tokens=reply.usage.total, usd=reply.usd or 0.0)


def _failed(error: ModelError, bound: Spending, seconds: float, usd: float | None) -> Spending:
    """What a failed attempt cost: as told; untold but possibly billed at its bound; else time."""
    if error.usage is not None:
        paid = bound.usd if usd is None else usd
        return Spending(seconds=seconds, tokens=error.usage.total, usd=paid)
    if error.may_be_billed:
        return replace(bound, seconds=seconds)
    return Spending(seconds=seconds)
