"""Models for mini-swe-agent: ours spoken to in its way, and others' made to pay.

`AskedModel` makes a model of this package fulfil `minisweagent.Model`; `PaidModel` books what any
other such model says it costs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meritree.errors import MeritreeError
from meritree.respond.codec import call_from_raw, well_formed
from meritree.respond.data import Message, Reply, Request, Role, Tool, ToolCall
from meritree.respond.errors import ModelError
from meritree.respond.model import Model
from meritree.run.ledger import Ledger, Spending
from meritree.swe.agent.policy import UNUSABLE
from meritree.swe.mini.package import module, settings

BASH = Tool(
    "bash",
    "Execute a bash command",
    {
        "type": "object",
        "properties": {"command": {"type": "string", "description": "The bash command to execute"}},
        "required": ["command"],
    },
)
_ROLES: Mapping[str, Role] = {
    "system": "system", "user": "user", "assistant": "assistant", "tool": "tool",
    "developer": "system",
}  # fmt: skip


@dataclass(slots=True)
class AskedModel:
    """A model of ours as mini-swe-agent asks it; safe to share between threads.

    Attributes:
        model: who is asked.
        temperature, max_tokens: of each request; None leaves them to the model.
        templates: how observations and complaints are written; mini's own when empty.
    """

    model: Model
    temperature: float | None = None
    max_tokens: int | None = None
    templates: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.templates:
            own = settings()["model"]
            self.templates = {
                name: own[name] for name in ("observation_template", "format_error_template")
            }

    @property
    def config(self) -> Mapping[str, Any]:
        """What the model tells of itself."""
        return {"model_name": self.model.name}

    def request(self, messages: Sequence[Mapping[str, Any]]) -> Request:
        """The question that a conversation asks."""
        return Request(
            tuple(_message(one) for one in messages if one.get("role") in _ROLES),
            (BASH,),
            tool_choice="required",
            temperature=self.temperature,
            max_tokens=self.max_tokens,
        )

    def query(self, messages: Sequence[Mapping[str, Any]], **_: Any) -> dict[str, Any]:
        """The next message, with the commands that it asks for in ``extra.actions``.

        Raises:
            minisweagent.exceptions.FormatError: the reply asks for no command.
            ModelError: the model cannot be asked.
        """
        try:
            reply = self.model.ask(self.request(messages))
        except UNUSABLE as error:
            raise self._wrong(Reply(), f"The reply could not be used: {error}", 0.0) from None
        cost = reply.usd or 0.0
        actions = []
        for call in reply.tool_calls:
            command = call.arguments.get("command")
            if call.name != BASH.name or call.error or not isinstance(command, str):
                why = call.error or f"Call the tool bash with a command, not {call.name[:40]!r}."
                raise self._wrong(reply, why, cost)
            actions.append({"command": command, "tool_call_id": call.id})
        if not actions:
            why = reply.complaint or "No tool calls found in the response."
            raise self._wrong(reply, why, cost)
        return {
            "role": "assistant",
            "content": reply.text,
            "tool_calls": [_call(one) for one in reply.tool_calls],
            "extra": {"actions": actions, "cost": cost, "tokens": reply.usage.total,
                      "timestamp": time.time()},
        }  # fmt: skip

    def _wrong(self, reply: Reply, why: str, cost: float) -> Exception:
        template = self.templates["format_error_template"]
        told = _rendered(
            template, error=why, actions=[], has_tool_calls=bool(reply.tool_calls),
            finish_reason=reply.finish_reason,
        )  # fmt: skip
        extra = {"interrupt_type": "FormatError", "cost": cost, "tokens": reply.usage.total}
        error: Exception = module("exceptions").FormatError(
            {"role": "user", "content": told, "extra": extra}
        )
        return error

    def format_message(self, **fields: Any) -> dict[str, Any]:
        """A message as it is."""
        return dict(fields)

    def format_observation_messages(
        self,
        message: Mapping[str, Any],
        outputs: Sequence[Mapping[str, Any]],
        template_vars: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """What the commands of a message gave, one message each."""
        found: list[dict[str, Any]] = module(
            "models.utils.actions_toolcall"
        ).format_toolcall_observation_messages(
            actions=message.get("extra", {}).get("actions", []),
            outputs=list(outputs),
            observation_template=self.templates["observation_template"],
            template_vars=dict(template_vars or {}),
        )
        return found

    def get_template_vars(self, **more: Any) -> dict[str, Any]:
        """What prompts may name."""
        return {**self.config, **more}

    def serialize(self) -> dict[str, Any]:
        """As mini-swe-agent saves it."""
        kind = f"{type(self).__module__}.{type(self).__name__}"
        return {"info": {"config": {"model": dict(self.config), "model_type": kind}}}


class PaidModel:
    """Any model with mini's interface, paid from a ledger.

    What a call will cost is not known before: as much as the dearest so far is reserved, and what
    the reply says is booked. So a limit can be exceeded by one call of each worker, not more.
    """

    def __init__(self, model: Any, ledger: Ledger) -> None:
        self._model = model
        self._ledger = ledger
        self._dearest = Spending()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def query(self, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """As the model does.

        Raises:
            BudgetExceeded: as much as the dearest call so far is not left.
            ModelError: the model failed.
        """
        left = self._ledger.remaining()
        if min(left.tokens, left.usd, left.seconds) <= 0:
            self._ledger.reserve(Spending(tokens=1, usd=1e-12, seconds=1e-3)).release()
        interrupted = module("exceptions").InterruptAgentFlow
        with self._ledger.reserve(self._dearest) as reservation:
            try:
                message: dict[str, Any] = self._model.query(messages, **more)
            except interrupted as stop:  # a reply without a command is billed like any other
                first: Mapping[str, Any] = stop.messages[0] if stop.messages else {}
                reservation.book(self._noted(first))
                raise
            except MeritreeError:
                raise
            # What fails inside somebody else's client can be anything.
            except Exception as error:
                raise ModelError(f"the model failed: {type(error).__name__}: {error}") from error
            reservation.book(self._noted(message))
        return message

    def _noted(self, message: Mapping[str, Any]) -> Spending:
        cost = cost_of(message)
        self._dearest = Spending(
            tokens=max(cost.tokens, self._dearest.tokens), usd=max(cost.usd, self._dearest.usd)
        )
        return cost


def cost_of(message: Mapping[str, Any]) -> Spending:
    """What a message says that it cost: ``extra.cost``, and usage where the reply is kept."""
    extra = message.get("extra")
    extra = extra if isinstance(extra, Mapping) else {}
    usd = extra.get("cost")
    response = extra.get("response")
    usage = response.get("usage") if isinstance(response, Mapping) else None
    tokens = usage.get("total_tokens") if isinstance(usage, Mapping) else extra.get("tokens")
    return Spending(
        tokens=tokens if isinstance(tokens, int) and tokens > 0 else 0,
        usd=float(usd) if isinstance(usd, int | float) and usd > 0 else 0.0,
    )


def _message(one: Mapping[str, Any]) -> Message:
    content = one.get("content")
    if isinstance(content, list):
        content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    calls = tuple(
        call_from_raw(str(call.get("id", "")), str(function.get("name", "")),
                      str(function.get("arguments", "")))
        for call in one.get("tool_calls") or ()
        if isinstance(function := call.get("function"), dict)
    )  # fmt: skip
    text = well_formed(content if isinstance(content, str) else "")
    return Message(_ROLES[str(one["role"])], text, calls, str(one.get("tool_call_id") or ""))


def _call(call: ToolCall) -> dict[str, Any]:
    raw = call.raw or json.dumps(dict(call.arguments))
    told = {"name": call.name, "arguments": raw}
    return {"id": call.id, "type": "function", "function": told}


def _rendered(template: str, **values: Any) -> str:
    import jinja2

    text: str = jinja2.Template(template, undefined=jinja2.StrictUndefined).render(**values)
    return text
