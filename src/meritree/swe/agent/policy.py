"""The agent's policy: asks the model for the next action, and has what is no action repaired.

Pays through the ledgered model it is given; knows no tree and no repository.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from meritree.respond.data import Message, Reply, Request, user
from meritree.respond.errors import (
    BrokenReply,
    EmptyReply,
    ModelError,
    OutOfTokens,
    ReplyTooLong,
)
from meritree.swe.agent.actions import Action, Malformed, parse, tools
from meritree.swe.agent.prompts import filled

UNUSABLE = (EmptyReply, OutOfTokens, BrokenReply, ReplyTooLong)
"""Replies that a model may do better at another time: they end a branch, not a run."""
_SHOWN = 2000  # characters of a wrong reply that are shown to the model again
_NO_CALL = "your reply makes no tool call"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the model wants done.

    Attributes:
        action: None where none of its replies held one.
        said: its words beside the call.
        complaints: what was wrong with earlier replies to the same question.
    """

    action: Action | None
    said: str = ""
    complaints: tuple[str, ...] = ()


Ask = Callable[[Request], Reply]
"""Asks the model: paid, journalled, or out of the journal."""


@dataclass(frozen=True, slots=True)
class AgentPolicy:
    """Settings of the policy.

    Attributes:
        repairs: how often a reply without a usable action is complained about.
        temperature: None leaves it to the endpoint.
        max_tokens: the longest reply; None takes the model's own setting.
    """

    repairs: int = 2
    temperature: float | None = None
    max_tokens: int | None = None

    def request(self, messages: tuple[Message, ...], seed: int | None = None) -> Request:
        """The question for the next action."""
        return Request(
            messages,
            tools(),
            tool_choice="required",
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=seed,
        )

    def propose(self, ask: Ask, request: Request) -> Proposal:
        """Ask until a reply holds an action, at most ``repairs`` times more.

        Raises:
            ModelError: the model cannot be asked; silence and nonsense are not raised.
            BudgetExceeded: the next question might cost more than is left.
        """
        complaints: list[str] = []
        said = ""
        for _ in range(self.repairs + 1):
            try:
                reply = ask(request)
            except UNUSABLE as error:
                complaints.append(f"your reply could not be used: {_kind(error)}")
                request = _again(request, "", complaints[-1])
                continue
            said = reply.text
            try:
                return Proposal(_action(reply), said, tuple(complaints))
            except Malformed as problem:
                complaints.append(str(problem))
                request = _again(request, _shown(reply), complaints[-1])
        return Proposal(None, said, tuple(complaints))


def _action(reply: Reply) -> Action:
    if reply.tool_calls:
        return parse(reply.tool_calls[0])
    raise Malformed(reply.complaint or _NO_CALL)


def _again(request: Request, said: str, complaint: str) -> Request:
    """The same question with the wrong reply and what was wrong with it."""
    told = (Message("assistant", said),) if said.strip() else ()
    repair = user(filled("repair", complaint=complaint))
    return replace(request, messages=(*request.messages, *told, repair))


def _shown(reply: Reply) -> str:
    """The wrong reply as text: a call that is none cannot be sent back as a call."""
    calls = "".join(f"\n(called {call.name[:80]} with {call.raw})" for call in reply.tool_calls[:1])
    return (reply.text + calls)[:_SHOWN]


def _kind(error: ModelError) -> str:
    kinds = {OutOfTokens: "it ran out of tokens", EmptyReply: "it was empty",
             ReplyTooLong: "it was far too long"}  # fmt: skip
    return next(
        (words for kind, words in kinds.items() if isinstance(error, kind)), "it was broken"
    )
