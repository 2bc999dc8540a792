"""What the plug-ins share: bounds, complete replies, and a foreign library's failures as ours."""

from __future__ import annotations

import math
import os
from dataclasses import replace

from meritree.respond.data import Reply, Request
from meritree.respond.errors import EmptyReply, EndpointDown, ModelError, TimedOut
from meritree.respond.model import prompt_bound, untold_usage
from meritree.respond.prices import Price
from meritree.respond.refusals import refusal
from meritree.respond.secret import MASK
from meritree.run.ledger import Spending


def bound(request: Request, price: Price | None, seconds: float, most: int) -> Spending:
    """The most that one attempt can cost; ``most``: tokens where the request does not say."""
    prompt, written = prompt_bound(request), request.max_tokens or most
    usd = math.inf if price is None else price.most(prompt, written)
    return Spending(seconds=seconds, tokens=prompt + written, usd=usd)


def completed(request: Request, reply: Reply, price: Price | None, model: str) -> Reply:
    """The reply with its usage, its price and who gave it.

    Raises:
        EmptyReply: it says nothing and calls nothing.
    """
    if not reply.usage.told or not reply.usage.total:
        reply = replace(reply, usage=untold_usage(request, reply))
    if not reply.text.strip() and not reply.tool_calls:
        raise EmptyReply(f"model {model!r} replied with nothing", usage=reply.usage)
    usd = None if price is None else price.usd(reply.usage)
    return replace(reply, usd=usd, model=reply.model or model)


def foreign_error(error: Exception, library: str, model: str) -> ModelError:
    """Our error for a library's exception: by its status code where it carries one."""
    text = all_keys_masked(str(error))
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 300 <= status < 600:
        headers = getattr(error, "headers", None)
        known = {str(k).lower(): str(v) for k, v in headers.items()} if headers else {}
        key = f"the key that {library} reads"
        return refusal(status, text.encode(), known, library, model, key)
    name = type(error).__name__
    kind = (
        TimedOut if "timeout" in name.lower() or isinstance(error, TimeoutError) else EndpointDown
    )
    return kind(
        f"model {model!r} through {library} failed ({name}): {text[:300]}", may_be_billed=True
    )


def all_keys_masked(text: str) -> str:
    """``text`` without any key of the environment: these libraries find their keys themselves."""
    for name, value in os.environ.items():
        if name.upper().endswith(("KEY", "TOKEN", "SECRET")) and len(value) >= 8:
            text = text.replace(value, MASK)
    return text
