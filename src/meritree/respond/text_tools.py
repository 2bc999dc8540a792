"""A model without tool calls that speaks them all the same, in plain text, with repair.

What is wrong with a call is sent back to the model a few times before it is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from meritree.respond.data import Message, Reply, Request, Tool, Usage, user
from meritree.respond.errors import EmptyReply, NoToolCalls
from meritree.respond.model import Model
from meritree.respond.text_protocol import Parsed, describe_tools, parse_calls, write_call
from meritree.run.ledger import Spending

_NONE_MADE = (
    "Your reply holds no call, but one is needed now. Write it like this and then stop:\n\n"
    "```call\ntool_name\nargument: value\n```"
)
_EMPTY = "Your reply was empty. " + _NONE_MADE


@dataclass(frozen=True)
class TextTools:
    """``model`` with tools in the text protocol.

    Attributes:
        model: who replies; its own tool calls are used if it makes some.
        repairs: how often a complaint is sent back for one request. What cannot be repaired comes
            back as a reply without calls whose ``complaint`` says why.
    """

    model: Model
    repairs: int = 2

    @property
    def name(self) -> str:
        """As of the model."""
        return self.model.name

    def rewrapped(self, wrap: Callable[[Model], Model]) -> TextTools:
        """The same around ``wrap(model)``: so that each repair is paid on its own."""
        return replace(self, model=wrap(self.model))

    def upper_bound(self, request: Request) -> Spending:
        """Of one question, as it is put in plain text; each repair is one more."""
        return self.model.upper_bound(plain_request(request))

    def ask(self, request: Request) -> Reply:
        """The reply with its calls; usage and money are those of all repairs together.

        Raises:
            ModelError, BudgetExceeded: as of the model.
        """
        if not request.tools or request.tool_choice == "none":
            return self.model.ask(plain_request(request))
        asked = plain_request(request)
        replies: list[Reply] = []
        for _ in range(self.repairs + 1):
            try:
                reply = self.model.ask(asked)
            except EmptyReply as error:
                if error.usage is not None and not error.retryable:
                    raise
                reply = Reply(usage=error.usage or Usage(told=False))
            replies.append(reply)
            if reply.tool_calls:
                return _total(reply, replies)
            parsed, complaint = _judged(reply, request)
            if not complaint:
                break
            asked = replace(asked, messages=_answered(asked.messages, reply.text, complaint))
        if complaint:
            return _total(replace(reply, complaint=complaint), replies)
        reason = "tool_calls" if parsed.calls else reply.finish_reason
        text = parsed.prose if parsed.calls else reply.text
        calls = tuple(
            replace(call, id=f"{reply.id or 'text'}_{number}")
            for number, call in enumerate(parsed.calls)
        )
        return _total(replace(reply, text=text, tool_calls=calls, finish_reason=reason), replies)


class AdaptiveTools:
    """``model`` with its own tool calls if it has some, else with the text protocol.

    Which one it is, the endpoint's first refusal tells; `text` says what was found.

    Args:
        model: who replies.
        repairs: as of `TextTools`.
    """

    def __init__(self, model: Model, repairs: int = 2) -> None:
        self.text = False
        self._model = model
        self._plain = TextTools(model, repairs)

    @property
    def name(self) -> str:
        """As of the model."""
        return self._model.name

    def rewrapped(self, wrap: Callable[[Model], Model]) -> AdaptiveTools:
        """The same around ``wrap(model)``."""
        return AdaptiveTools(wrap(self._model), self._plain.repairs)

    def upper_bound(self, request: Request) -> Spending:
        """Of one question."""
        return (self._plain if self.text else self._model).upper_bound(request)

    def ask(self, request: Request) -> Reply:
        """The reply with its calls.

        Raises:
            ModelError, BudgetExceeded: as of the model.
        """
        if not self.text:
            try:
                return self._model.ask(request)
            except NoToolCalls:
                if not request.tools:
                    raise
                self.text = True
        return self._plain.ask(request)


def _judged(reply: Reply, request: Request) -> tuple[Parsed, str]:
    if not reply.text.strip():
        return Parsed(), _EMPTY
    parsed = parse_calls(reply.text, request.tools)
    if parsed.complaint and reply.finish_reason == "length":
        return parsed, f"Your reply was cut off at its longest. Be shorter. {parsed.complaint}"
    missing = not parsed.calls and request.tool_choice == "required"
    return parsed, parsed.complaint or (_NONE_MADE if missing else "")


def _answered(messages: Sequence[Message], text: str, complaint: str) -> tuple[Message, ...]:
    said = (Message("assistant", text),) if text.strip() else ()
    return _merged([*messages, *said, user(complaint)])


def _total(last: Reply, replies: Sequence[Reply]) -> Reply:
    """The last reply with the tokens and the money of all."""
    usage = replies[0].usage
    for one in replies[1:]:
        usage = usage + one.usage
    paid = [one.usd for one in replies if one.usd is not None]
    usd = sum(paid) if len(paid) == len(replies) else None
    return replace(last, usage=usage, usd=usd, replayed=all(one.replayed for one in replies))


def plain_request(request: Request) -> Request:
    """``request`` without tools: they are described in the system message, calls and results are
    told as text, and neighbouring messages of one speaker are joined (many chat templates refuse
    two in a row)."""
    names = {call.id: call.name for one in request.messages for call in one.tool_calls}
    messages = [_plain(one, names) for one in request.messages]
    if request.tools and request.tool_choice != "none":
        messages = _with_tools(messages, request.tools)
    return replace(request, messages=_merged(messages), tools=(), tool_choice="auto")


def _plain(message: Message, names: dict[str, str]) -> Message:
    if message.role == "tool":
        name = names.get(message.tool_call_id, "the call")
        return user(f"Result of {name}:\n{message.text}")
    if message.tool_calls:
        blocks = [write_call(call) for call in message.tool_calls]
        return Message("assistant", "\n\n".join(filter(None, [message.text, *blocks])))
    return message


def _with_tools(messages: list[Message], tools: Sequence[Tool]) -> list[Message]:
    about = describe_tools(tools)
    if messages and messages[0].role == "system":
        first = replace(messages[0], text=f"{messages[0].text}\n\n{about}")
        return [first, *messages[1:]]
    return [Message("system", about), *messages]


def _merged(messages: Sequence[Message]) -> tuple[Message, ...]:
    merged: list[Message] = []
    for one in messages:
        if merged and one.role == merged[-1].role and one.role in ("user", "assistant"):
            merged[-1] = replace(merged[-1], text=f"{merged[-1].text}\n\n{one.text}")
        else:
            merged.append(one)
    return tuple(merged)
