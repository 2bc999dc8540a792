"""What an endpoint means when it refuses: from status and body to an error, or to a better request.

Messages name the endpoint, the model and the way out. Knows no HTTP library.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

from meritree.respond.codec import loads
from meritree.respond.errors import (
    ModelError,
    NoToolCalls,
    Overloaded,
    PromptTooLong,
    Rejected,
    UnknownModel,
    WrongKey,
)
from meritree.respond.wire import Dialect

_TOO_LONG = re.compile(
    r"context.?length|context.?window|context.?size|maximum.{0,20}context|prompt is too long|"
    r"too many (input )?tokens|input token count|reduce the length|"
    r"exceeds? the (available )?context",
    re.IGNORECASE,
)
_NO_TOOLS = re.compile(
    r"(not|n't) support (native )?(tool|function)|support(ing|s)? tool (use|call)|"
    r"(tool|function).?(use|call)\w* (is|are) not (supported|available)|"
    r"tools? (is|are) not supported|enable-auto-tool-choice",
    re.IGNORECASE,
)
_UNKNOWN_FIELD = re.compile(
    r"unsupported|not supported|n.t support|unknown|unrecogni[sz]ed|unexpected|extra inputs|"
    r"not permitted|not allowed|only the default|deprecated",
    re.IGNORECASE,
)
_LEAVABLE = ("temperature", "seed", "stop", "stream_options", "tool_choice")
_LIMITS = ("max_tokens", "max_completion_tokens")
_SHOWN = 300  # characters of what the endpoint said


def refusal(
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    where: str,
    model: str,
    key: str,
    *,
    unsent: str = "",
) -> ModelError:
    """The error that a status other than 2xx means.

    Args:
        status: of the response.
        body: its body, the key masked.
        headers: with lower-case names.
        where: the endpoint's base URL.
        model: as it was asked for.
        key: the variable of the environment that holds the key.
        unsent: why no key was sent, in words; empty where one was.
    """
    said = spoken(body)
    told = f" It says: {said}" if said else ""
    asked = f"model {model!r} at {where}"
    if status in (401, 403) and unsent:
        return WrongKey(f"{asked} wants a key ({status}) and none was sent: {unsent}.{told}")
    if status in (401, 403):
        return WrongKey(
            f"{asked} refuses the key ({status}); set {key} to a key that may use it.{told}"
        )
    if status == 402 or (status == 429 and "insufficient_quota" in body.decode("utf-8", "replace")):
        return Rejected(f"{asked} has no credit left ({status}); top it up or ask another.{told}")
    if status in (400, 404, 422, 500, 501) and _NO_TOOLS.search(said):
        return NoToolCalls(
            f"{asked} offers no tool calls ({status}); use the text protocol (`TextTools`).{told}"
        )
    if status == 404 or (status == 400 and re.search(r"model.{0,80}(not found|not exist)", said)):
        return UnknownModel(
            f"{where} has no model {model!r}, or is no chat endpoint ({status}); see the list at "
            f"{where}/models and check the base URL (most end in /v1).{told}"
        )
    if status in (400, 413, 422) and (status == 413 or _TOO_LONG.search(said)):
        return PromptTooLong(
            f"the conversation is too long for {asked} ({status}); shorten it, or ask a model "
            f"with a longer context.{told}"
        )
    if status in (408, 409, 425, 429) or status >= 500:
        wait = retry_after(headers)
        pause = "" if wait is None else f"; it asks to wait {wait:g} s"
        return Overloaded(
            f"{asked} cannot answer now ({status}{pause}); try later or use fewer workers.{told}",
            retry_after=wait,
        )
    if 300 <= status < 400:
        return Rejected(f"{where} moved elsewhere ({status}); give its new address.{told}")
    return Rejected(f"{asked} refuses the request ({status}).{told or ' It says nothing.'}")


def spoken(body: bytes) -> str:
    """What an error body says, on one line and short."""
    try:
        document = loads(body)
    except ValueError:
        text = re.sub(r"<[^>]*>", " ", body[:4000].decode("utf-8", "replace"))
    else:
        text = _message(document)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " ..."


def _message(document: Any) -> str:
    """The message, wherever it stands: OpenAI, Google (a list), FastAPI, plain text."""
    if isinstance(document, list) and document:
        return _message(document[0])
    if isinstance(document, dict):
        for name in ("error", "message", "detail", "msg"):
            if document.get(name):
                return _message(document[name])
    return document if isinstance(document, str) else str(document)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the endpoint asks to wait, None where it does not."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
            return float(value) * scale
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def learnt(dialect: Dialect, asked: Mapping[str, Any], status: int, body: bytes) -> Dialect | None:
    """A dialect in which the refused request may be understood, None where we know none."""
    said = spoken(body)
    if status not in (400, 422) or not _UNKNOWN_FIELD.search(said):
        return None
    for name in _named(body, said):
        if name in asked and name in _LEAVABLE:
            return replace(dialect, leave_out=dialect.leave_out | {name})
        if name in asked and name == dialect.max_tokens:
            other = _LIMITS[1 - _LIMITS.index(name)]
            return replace(dialect, max_tokens=other)
    return None


def _named(body: bytes, said: str) -> list[str]:
    """The fields that a refusal names: in its message, or where FastAPI says ``loc``."""
    places = said
    try:
        document = loads(body)
    except ValueError:
        document = None
    details = document.get("detail") if isinstance(document, dict) else None
    for one in details if isinstance(details, list) else []:
        if isinstance(one, dict) and isinstance(one.get("loc"), list):
            places += " " + " ".join(map(str, one["loc"]))
    return [
        name for name in (*_LIMITS, *_LEAVABLE) if re.search(rf"(?<![\w.]){name}(?!\w)", places)
    ]
