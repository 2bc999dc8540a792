"""Messages and replies as JSON objects, for journals, scripts and recordings.

Unknown keys are ignored, so that newer files can be read; a value of the wrong type is an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from meritree.respond.data import Reply, ToolCall, Usage


def loads(text: str | bytes) -> Any:
    """Parse JSON strictly: no NaN or infinity, and texts that can be written as UTF-8.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        document = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:  # a thousand opening brackets are a model's output like any other
        raise ValueError("it is nested too deeply") from None
    return _clean(document)


def well_formed(text: str) -> str:
    """``text`` with halves of surrogate pairs replaced: files and databases refuse them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else well_formed(value)
    if isinstance(value, dict):
        return {well_formed(key): _clean(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return value


def call_from_raw(
    identity: str, name: str, raw: str, extra: Mapping[str, Any] | None = None
) -> ToolCall:
    """A call from its arguments as text; an empty text means no arguments."""
    kept = dict(extra or {})
    if not raw.strip():
        return ToolCall(identity, name, {}, raw, extra=kept)
    try:
        arguments = loads(raw)
    except ValueError as error:
        return ToolCall(identity, name, {}, raw, f"the arguments are no JSON: {error}", kept)
    if not isinstance(arguments, dict):
        kind = type(arguments).__name__
        problem = f"the arguments are no JSON object but {kind}"
        return ToolCall(identity, name, {}, raw, problem, kept)
    return ToolCall(identity, name, arguments, raw, extra=kept)


def encode_call(call: ToolCall) -> dict[str, Any]:
    """As JSON; the text of the arguments is kept exactly."""
    document: dict[str, Any] = {"id": call.id, "name": call.name, "raw": call.raw}
    if not call.raw:
        document["arguments"] = dict(call.arguments)
    if call.error:
        document["error"] = call.error
    if call.extra:
        document["extra"] = dict(call.extra)
    return document


def decode_call(document: Mapping[str, Any], number: int = 0) -> ToolCall:
    """From JSON; ``arguments`` may stand as an object or, under ``raw``, as text.

    Raises:
        TypeError, KeyError, ValueError: it is no call.
    """
    name = _text(document, "name")
    if not name:
        raise KeyError("name")
    identity = _text(document, "id") or f"call_{number}"
    extra = document.get("extra", {})
    if _text(document, "raw"):
        call = call_from_raw(identity, name, document["raw"], extra)
        error = _text(document, "error")
        return (
            call
            if call.error or not error
            else ToolCall(identity, name, {}, call.raw, error, extra)
        )
    arguments = document.get("arguments", {})
    if not isinstance(arguments, dict):
        raise TypeError(f"arguments are {type(arguments).__name__}, not an object")
    raw = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(identity, name, arguments, raw, _text(document, "error"), extra)


def encode_reply(reply: Reply) -> dict[str, Any]:
    """As JSON, every field that is not at its default."""
    usage = reply.usage
    document: dict[str, Any] = {
        "text": reply.text,
        "usage": {
            "prompt": usage.prompt,
            "completion": usage.completion,
            "cached": usage.cached,
            "told": usage.told,
        },
        "usd": reply.usd,
        "model": reply.model,
        "finish_reason": reply.finish_reason,
    }
    if reply.tool_calls:
        document["tool_calls"] = [encode_call(call) for call in reply.tool_calls]
    for name in ("id", "reasoning", "complaint", "replayed", "key"):
        if getattr(reply, name):
            document[name] = getattr(reply, name)
    return document


def decode_reply(document: Mapping[str, Any]) -> Reply:
    """From JSON.

    Raises:
        TypeError, KeyError, ValueError: it is no reply.
    """
    usage = document.get("usage", {})
    usd = document.get("usd")
    if usd is not None and (isinstance(usd, bool) or not isinstance(usd, int | float)):
        raise TypeError(f"usd is {usd!r}, not a number")
    return Reply(
        text=_text(document, "text"),
        tool_calls=_calls(document),
        usage=Usage(
            _count(usage, "prompt"),
            _count(usage, "completion"),
            _count(usage, "cached"),
            told=bool(usage.get("told", True)),
        ),
        usd=None if usd is None else float(usd),
        model=_text(document, "model"),
        finish_reason=_text(document, "finish_reason") or "stop",
        id=_text(document, "id"),
        reasoning=_text(document, "reasoning"),
        complaint=_text(document, "complaint"),
        replayed=bool(document.get("replayed", False)),
        key=_text(document, "key"),
    )


def _calls(document: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    calls = document.get("tool_calls") or []
    if not isinstance(calls, list) or not all(isinstance(one, dict) for one in calls):
        raise TypeError("tool_calls is no list of objects")
    return tuple(decode_call(one, number) for number, one in enumerate(calls))


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise TypeError(f"{name} is {type(value).__name__}, not a text")
    return value


def _count(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"usage {name} is {value!r}, not a whole number of 0 or more")
    return value
