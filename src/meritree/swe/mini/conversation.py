"""Conversations of mini-swe-agent as data: what they ask for, on one line, and cut to a size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from meritree.respond.model import about_tokens

Messages = list[dict[str, Any]]
_LABEL = 180
_LEFT_OUT = "(The output of this older step is left out.)"


def fitted(messages: Messages, tokens: int) -> Messages:
    """The same conversation in about ``tokens`` tokens: what older steps showed is left out.

    The opening and the latest message are kept, and every message keeps its place.
    """
    sizes = [about_tokens(json.dumps(one, default=str)) for one in messages]
    shown = list(messages)
    for place in range(2, len(messages) - 1):
        if sum(sizes) <= tokens:
            break
        if messages[place].get("role") in ("tool", "user"):
            shown[place] = {**messages[place], "content": _LEFT_OUT, "extra": {}}
            sizes[place] = about_tokens(_LEFT_OUT) + 20
    return shown


def commands_of(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The commands of a conversation, in order."""
    found = []
    for message in messages:
        extra = message.get("extra")
        actions = extra.get("actions") if isinstance(extra, Mapping) else None
        found += [str(one.get("command", "")) for one in actions or () if isinstance(one, Mapping)]
    return found


def label_of(messages: Sequence[Mapping[str, Any]], status: str) -> str:
    """A step on one line: its commands, or how it ended."""
    commands = "; ".join(commands_of(messages))
    words = " ".join((commands or "no command").split())
    words = words if len(words) <= _LABEL else words[: _LABEL - 1] + "…"
    return f"{words} ({status})" if status else words
