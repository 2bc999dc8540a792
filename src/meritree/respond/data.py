"""What is said to a language model and what comes back, as plain data.

Knows no endpoint, no wire format and no price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
ToolChoice = Literal["auto", "required", "none"]


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that a model may ask to have done.

    Attributes:
        name: the verb, letters, digits, ``_`` and ``-``.
        description: for the model: when to use it and what comes back.
        parameters: a JSON schema of type ``object``.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to have a tool run; what it names may not exist.

    Attributes:
        id: links the call to its result; made up where the endpoint gives none.
        name: as the model wrote it.
        arguments: the parsed arguments; empty where ``error`` is set.
        raw: the arguments as text, as they came.
        error: why ``raw`` is no JSON object, empty when it is one.
        extra: what an endpoint attached and wants back unchanged (Google's signatures).
    """

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    raw: str = ""
    error: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks.
        text: what is said; of a ``tool`` message, the result.
        tool_calls: of an ``assistant`` message, the calls it made.
        tool_call_id: of a ``tool`` message, the id of the call that is answered.
    """

    role: Role
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model.

    Attributes:
        messages: the conversation so far.
        tools: what may be called.
        tool_choice: whether a call may (``auto``), must or must not be made.
        temperature: None leaves it to the endpoint.
        max_tokens: the longest reply; None takes the model's own setting.
        stop: texts that end the reply.
        seed: for endpoints that sample repeatably.
        timeout: the most seconds that the caller waits for the whole reply; None takes the
            model's own setting. No part of what is asked: two requests that differ only here are
            the same to a recording.
        extra: further fields of the wire format, sent as they are (``{"top_k": 20}``).
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    timeout: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call (or of several, added).

    Attributes:
        prompt: tokens read, cached ones included.
        completion: tokens written, hidden reasoning included.
        cached: how many of ``prompt`` came from the provider's cache.
        told: the endpoint said so; False where we counted ourselves.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    told: bool = True

    @property
    def total(self) -> int:
        """Prompt and completion."""
        return self.prompt + self.completion

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached + other.cached,
            self.told and other.told,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said.

    Attributes:
        text: the words, possibly empty beside tool calls.
        tool_calls: what it wants done, in its order.
        usage: tokens.
        usd: what it cost, None when no price is known.
        model: the name that the endpoint gave.
        finish_reason: as told: ``stop``, ``length``, ``tool_calls``, ``content_filter``, ...
        id: the endpoint's name of this reply.
        reasoning: thoughts that the endpoint shows apart from the text.
        complaint: why a text that looks like calls is none, to be sent back (text protocol).
        replayed: it came from a recording: nobody was asked, nothing was paid.
        key: under which name a recording holds it; empty without a recording.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    usd: float | None = None
    model: str = ""
    finish_reason: str = "stop"
    id: str = ""
    reasoning: str = ""
    complaint: str = ""
    replayed: bool = False
    key: str = ""

    def message(self) -> Message:
        """The turn to append to the conversation."""
        return Message("assistant", self.text, self.tool_calls)


def system(text: str) -> Message:
    """What the model is told to be."""
    return Message("system", text)


def user(text: str) -> Message:
    """What the model is asked."""
    return Message("user", text)


def tool_result(call: ToolCall, text: str) -> Message:
    """What running ``call`` gave."""
    return Message("tool", text, tool_call_id=call.id)
