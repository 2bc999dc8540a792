"""The chat-completions wire format: from our data to JSON and back, whole or in fragments.

Written for what endpoints really send: null contents, missing usage, tool calls without index,
id or arguments, signatures that must come back. Knows no HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from meritree.respond.codec import call_from_raw, well_formed
from meritree.respond.data import Message, Reply, Request, Tool, ToolCall, Usage

JsonObject = dict[str, Any]


class WireError(ValueError):
    """JSON, but not of this format."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an endpoint wants to be spoken to, learnt from its refusals.

    Attributes:
        max_tokens: the field that limits the reply.
        leave_out: fields that it does not know.
    """

    max_tokens: str = "max_tokens"
    leave_out: frozenset[str] = frozenset()


def encode_request(request: Request, model: str, dialect: Dialect, *, stream: bool) -> JsonObject:
    """The JSON body of a request."""
    body: JsonObject = {
        "model": model,
        "messages": [_message(one) for one in request.messages],
    }
    if request.tools:
        body["tools"] = [_tool(one) for one in request.tools]
        if request.tool_choice != "auto":
            body["tool_choice"] = request.tool_choice
    if request.max_tokens is not None:
        body[dialect.max_tokens] = request.max_tokens
    for name in ("temperature", "seed"):
        if getattr(request, name) is not None:
            body[name] = getattr(request, name)
    if request.stop:
        body["stop"] = list(request.stop)
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    body |= request.extra
    return {key: value for key, value in body.items() if key not in dialect.leave_out}


def decode_request(body: Mapping[str, Any]) -> Request:
    """The request that a body holds, as a server meets it.

    Raises:
        WireError: it holds none.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise WireError("'messages' must be a list of at least one message")
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise WireError("'tools' must be a list")
    stop = body.get("stop") or []
    choice = body.get("tool_choice", "auto")
    return Request(
        messages=tuple(_decode_message(one) for one in messages),
        tools=tuple(_decode_tool(one) for one in tools),
        tool_choice=choice if choice in ("required", "none") else "auto",
        temperature=body.get("temperature"),
        max_tokens=body.get("max_completion_tokens", body.get("max_tokens")),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        seed=body.get("seed"),
    )


def encode_reply(reply: Reply, created: int) -> JsonObject:
    """The JSON body of a reply, as a server sends it, broken arguments as they are."""
    message = _message(reply.message())
    if reply.tool_calls:
        message["tool_calls"] = [_call(call, arguments_of(call)) for call in reply.tool_calls]
    return {
        "id": reply.id,
        "object": "chat.completion",
        "created": created,
        "model": reply.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": reply.finish_reason,
            }
        ],
        "usage": encode_usage(reply.usage),
    }


def encode_usage(usage: Usage) -> JsonObject:
    """The usage object of a reply."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


def decode_usage(document: Any) -> Usage | None:
    """Tokens as told, None where nothing (or nothing sensible) is told."""
    if not isinstance(document, dict):
        return None
    prompt, completion = document.get("prompt_tokens"), document.get("completion_tokens")
    if not _is_count(prompt):
        return None
    details = document.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    if cached is None:
        cached = document.get("prompt_cache_hit_tokens")  # DeepSeek
    written = completion if _is_count(completion) else 0
    total = document.get("total_tokens")
    if _is_count(total):  # Google counts thoughts only here
        written = max(written, total - prompt)
    return Usage(
        prompt,
        written,
        min(cached, prompt) if _is_count(cached) else 0,
    )


def decode_reply(body: Any) -> Reply:
    """The reply that a body holds; its usage is not told (`Usage.told`) where it holds none.

    Raises:
        WireError: it holds none.
    """
    if not isinstance(body, dict):
        raise WireError(f"the reply is {type(body).__name__}, not an object")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise WireError("the reply has no choices")
    gathered = Gathered()
    gathered.note(body)
    gathered.finish_reason = _text(choices[0].get("finish_reason"))
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise WireError("the reply's choice has no message")
    gathered.add(message)
    return gathered.reply()


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    raw: list[str] = field(default_factory=list)
    extra: JsonObject = field(default_factory=dict)


@dataclass(slots=True)
class Gathered:
    """A reply that grows from the fragments of a stream (or from one whole message)."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    slots: dict[object, _Call] = field(default_factory=dict)
    usage: Usage | None = None
    id: str = ""
    model: str = ""
    finish_reason: str = ""
    size: int = 0

    def add_chunk(self, chunk: Any) -> str:
        """Take one event of a stream; return the text that it added.

        Raises:
            WireError: it is no chunk.
        """
        if not isinstance(chunk, dict):
            raise WireError(f"an event is {type(chunk).__name__}, not an object")
        self.note(chunk)
        choices = chunk.get("choices") or []
        if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
            raise WireError("an event's choices are no list of objects")
        if not choices:
            return ""  # the event that tells the usage
        self.finish_reason = _text(choices[0].get("finish_reason")) or self.finish_reason
        delta = choices[0].get("delta")
        return self.add(delta) if isinstance(delta, dict) else ""

    def note(self, body: Mapping[str, Any]) -> None:
        """Keep what a body or a chunk tells about itself."""
        self.id = _text(body.get("id")) or self.id
        self.model = _text(body.get("model")) or self.model
        self.usage = decode_usage(body.get("usage")) or self.usage

    def add(self, delta: Mapping[str, Any]) -> str:
        """Take a message or a part of one; return the text that it added."""
        text = _content(delta.get("content")) or _text(delta.get("refusal"))
        thought = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
        if text:
            self.texts.append(text)
        if thought:
            self.thoughts.append(thought)
        calls = delta.get("tool_calls")
        written = len(text) + len(thought)
        for place, one in enumerate(calls if isinstance(calls, list) else []):
            if isinstance(one, dict):
                written += self._add_call(one, place)
        self.size += written
        return text

    def _add_call(self, fragment: Mapping[str, Any], place: int) -> int:
        call = self._slot(fragment, place)
        function = fragment.get("function")
        function = function if isinstance(function, dict) else {}
        call.name = call.name or _text(function.get("name"))
        raw = function.get("arguments")
        # Some endpoints send the arguments as an object instead of a text.
        text = raw if isinstance(raw, str) else "" if raw is None else json.dumps(raw)
        call.raw.append(text)
        if isinstance(fragment.get("extra_content"), dict):
            call.extra["extra_content"] = fragment["extra_content"]
        return len(text)

    def _slot(self, fragment: Mapping[str, Any], place: int) -> _Call:
        """The call that a fragment belongs to: by index, else by id, else a new one if it names
        a function, else the last one. (Ollama and Gemini send no index, others no id.)"""
        index, identity = fragment.get("index"), _text(fragment.get("id"))
        function = fragment.get("function")
        named = isinstance(function, dict) and bool(_text(function.get("name")))
        key: object = ("index", index) if index is not None else ("id", identity or None)
        known = self.slots.get(key) if index is not None or identity else None
        if index is not None and known is not None and named and _other(identity, known):
            known = None  # every call at index 0: a new id with a name begins a new one
        if known is None and not named and not identity and self.calls:
            known = self.calls[-1]
        if known is None:
            known = _Call()
            self.calls.append(known)
            self.slots[key] = known
        known.id = known.id or identity
        return known

    def reply(self) -> Reply:
        """What was gathered."""
        calls = tuple(
            call_from_raw(one.id or f"call_{number}", one.name, "".join(one.raw), one.extra)
            for number, one in enumerate(self.calls)
        )
        reason = self.finish_reason
        if calls and reason in ("", "stop", "function_call"):
            reason = "tool_calls"  # Gemini says stop at the end of a stream of calls
        return Reply(
            text=well_formed("".join(self.texts)),
            tool_calls=calls,
            usage=self.usage or Usage(told=False),
            model=self.model,
            finish_reason=reason or "stop",
            id=self.id,
            reasoning=well_formed("".join(self.thoughts)),
        )


def _other(identity: str, known: _Call) -> bool:
    return bool(identity) and bool(known.id) and identity != known.id


def _message(message: Message) -> JsonObject:
    document: JsonObject = {"role": message.role, "content": well_formed(message.text)}
    if message.tool_calls:
        document["content"] = well_formed(message.text) or None
        # Strict endpoints refuse a history with arguments that are no JSON; what was wrong with
        # them, the tool's message tells.
        document["tool_calls"] = [
            _call(
                call, "{}" if call.error or not arguments_of(call).strip() else arguments_of(call)
            )
            for call in message.tool_calls
        ]
    if message.role == "tool":
        document["tool_call_id"] = message.tool_call_id
    return document


def arguments_of(call: ToolCall) -> str:
    """The arguments as text."""
    return call.raw or json.dumps(dict(call.arguments), ensure_ascii=False)


def _call(call: ToolCall, arguments: str) -> JsonObject:
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function, **call.extra}


def _tool(tool: Tool) -> JsonObject:
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
        },
    }


def _decode_message(document: Any) -> Message:
    if not isinstance(document, dict):
        raise WireError("a message is no object")
    role = document.get("role")
    if role == "developer":
        role = "system"
    if role not in ("system", "user", "assistant", "tool"):
        raise WireError(f"a message has the role {role!r}")
    gathered = Gathered()
    gathered.add(document)
    reply = gathered.reply()
    return Message(role, reply.text, reply.tool_calls, _text(document.get("tool_call_id")))


def _decode_tool(document: Any) -> Tool:
    function = document.get("function") if isinstance(document, dict) else None
    if not isinstance(function, dict) or not _text(function.get("name")):
        raise WireError("a tool has no function with a name")
    parameters = function.get("parameters")
    return Tool(
        function["name"],
        _text(function.get("description")),
        parameters if isinstance(parameters, dict) else {"type": "object", "properties": {}},
    )


def _content(content: Any) -> str:
    """Text of a content: a string, null, or a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return _text(content)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
