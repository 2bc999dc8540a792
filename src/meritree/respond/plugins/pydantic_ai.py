"""A model of pydantic-ai (``pip install pydantic-ai-slim``, not among our dependencies).

Its models are asynchronous; one event loop in a thread of its own serves all threads that ask.
"""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

from meritree.errors import MeritreeError
from meritree.respond.codec import call_from_raw
from meritree.respond.data import Message, Reply, Request, ToolCall, Usage
from meritree.respond.model import DEFAULT_MAX_TOKENS, Patience
from meritree.respond.offline import guard, is_offline
from meritree.respond.plugins._shared import bound, completed, foreign_error
from meritree.respond.prices import Price, Prices, packaged_prices
from meritree.respond.retry import with_retries
from meritree.respond.wire import arguments_of
from meritree.run.ledger import Spending


class PydanticAIModel:
    """See the module. An `Endpoint`: each attempt is paid on its own.

    Args:
        model: an instance of pydantic-ai's ``Model`` or a name such as ``openai:gpt-4o``.
        timeout: seconds for a whole reply.
        patience: when to try again.
        max_tokens: the longest reply where a request does not say.
        prices: where to look up what tokens cost, by the name after the colon.

    Raises:
        MeritreeError: pydantic-ai is not installed.
    """

    def __init__(
        self,
        model: Any,
        *,
        timeout: float = 600.0,
        patience: Patience | None = None,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        prices: Prices | None = None,
    ) -> None:
        self.name = str(model if isinstance(model, str) else model.model_name)
        self.patience = patience or Patience()
        short = self.name.rpartition(":")[2]
        self.price: Price | None = (packaged_prices() if prices is None else prices).find(short)
        self._library = _import()
        self._model = model
        self._timeout = timeout
        self._max_tokens = max_tokens
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="pydantic-ai", daemon=True).start()

    def ask(self, request: Request) -> Reply:
        """The reply, with retries.

        Raises:
            ModelError: there is none.
        """
        return with_retries(lambda: self.attempt(request), self.patience)

    def recall(self, request: Request) -> Reply | None:
        """None: nothing is recorded at pydantic-ai's boundary."""
        return None

    def attempt(self, request: Request) -> Reply:
        """One attempt.

        Raises:
            ModelError: it failed.
        """
        if is_offline():
            guard()
        seconds = min(self._timeout, request.timeout or math.inf)
        future = asyncio.run_coroutine_threadsafe(self._asked(request, seconds), self._loop)
        try:
            response = future.result()
        # A boundary: pydantic-ai raises whatever its providers' libraries raise.
        except Exception as error:  # noqa: BLE001
            failure = foreign_error(error, "pydantic-ai", self.name)
        else:
            return self._read(request, response)
        raise failure

    def upper_bound(self, request: Request) -> Spending:
        """The most that one attempt can cost."""
        return bound(request, self.price, self._timeout, self._max_tokens)

    async def _asked(self, request: Request, seconds: float) -> Any:
        from pydantic_ai.direct import model_request
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.tools import ToolDefinition

        tools = [
            ToolDefinition(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=dict(tool.parameters),
            )
            for tool in request.tools
            if request.tool_choice != "none"
        ]
        must = request.tool_choice == "required" and bool(tools)
        return await asyncio.wait_for(
            model_request(
                self._model,
                self._messages(request),
                model_settings=self._settings(request, seconds),
                model_request_parameters=ModelRequestParameters(
                    function_tools=tools, allow_text_output=not must
                ),
            ),
            seconds,
        )

    def _settings(self, request: Request, seconds: float) -> Any:
        settings: dict[str, Any] = {
            "max_tokens": request.max_tokens or self._max_tokens,
            "timeout": seconds,
        }
        for name in ("temperature", "seed"):
            if getattr(request, name) is not None:
                settings[name] = getattr(request, name)
        if request.stop:
            settings["stop_sequences"] = list(request.stop)
        if request.extra:
            settings["extra_body"] = dict(request.extra)
        return settings

    def _messages(self, request: Request) -> list[Any]:
        """Turns of the assistant are responses; what stands between two of them is a request."""
        said = self._library.messages
        names = {call.id: call.name for one in request.messages for call in one.tool_calls}
        turns: list[Any] = []
        parts: list[Any] = []
        for one in request.messages:
            if one.role == "assistant":
                if parts:
                    turns.append(said.ModelRequest(parts=parts))
                    parts = []
                turns.append(said.ModelResponse(parts=_response_parts(one, said)))
            elif one.role == "system":
                parts.append(said.SystemPromptPart(content=one.text))
            elif one.role == "tool":
                name = names.get(one.tool_call_id, "tool")
                parts.append(said.ToolReturnPart(name, one.text, one.tool_call_id))
            else:
                parts.append(said.UserPromptPart(content=one.text))
        return [*turns, said.ModelRequest(parts=parts)]

    def _read(self, request: Request, response: Any) -> Reply:
        texts: dict[str, list[str]] = {"text": [], "thinking": []}
        calls: list[ToolCall] = []
        for part in response.parts:
            if part.part_kind in texts:
                texts[part.part_kind].append(part.content)
            elif part.part_kind == "tool-call":
                calls.append(
                    call_from_raw(part.tool_call_id, part.tool_name, part.args_as_json_str())
                )
        told = response.usage
        reply = Reply(
            text="".join(texts["text"]),
            tool_calls=tuple(calls),
            usage=Usage(told.input_tokens, told.output_tokens, told.cache_read_tokens),
            model=response.model_name or "",
            finish_reason="tool_calls" if calls else response.finish_reason or "stop",
            id=response.provider_response_id or "",
            reasoning="".join(texts["thinking"]),
        )
        return completed(request, reply, self.price, self.name)

    def close(self) -> None:
        """End the thread that serves the calls."""
        self._loop.call_soon_threadsafe(self._loop.stop)


def _response_parts(message: Message, said: Any) -> list[Any]:
    parts: list[Any] = [said.TextPart(content=message.text)] if message.text else []
    calls = message.tool_calls
    return [*parts, *(said.ToolCallPart(call.name, arguments_of(call), call.id) for call in calls)]


def _import() -> Any:
    try:
        import pydantic_ai.messages
    except ImportError:
        raise MeritreeError("a model of pydantic-ai needs: pip install pydantic-ai-slim") from None
    return pydantic_ai
