"""The plug-in for pydantic-ai against its own test doubles.

MERITREE_ORACLES=1 pytest tests/oracles (needs pydantic-ai-slim, of the extra [oracles]).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from meritree.respond import (
    EmptyReply,
    Endpoint,
    Message,
    Patience,
    Request,
    TimedOut,
    Tool,
    ToolCall,
    WrongKey,
    ledgered,
    system,
    tool_result,
    user,
)
from meritree.run.ledger import Ledger, Limits

pytestmark = pytest.mark.skipif(
    "MERITREE_ORACLES" not in os.environ, reason="set MERITREE_ORACLES=1 to ask other libraries"
)
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
VIEW = Tool("view", "Shows a file.", SCHEMA)
NEVER = Patience(0)


def test_what_is_said_reaches_the_model_and_comes_back() -> None:
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    from meritree.respond.plugins.pydantic_ai import PydanticAIModel

    seen: list[Any] = []

    def function(messages: Any, info: Any) -> ModelResponse:
        seen.append((messages, info))
        return ModelResponse(parts=[TextPart("I look."), ToolCallPart("view", {"path": "b"}, "2")])

    model = PydanticAIModel(FunctionModel(function), patience=NEVER)
    assert isinstance(model, Endpoint)
    call = ToolCall("1", "view", {"path": "a"})
    ledger = Ledger(Limits(tokens=100_000))
    reply = ledgered(model, ledger).ask(
        Request(
            (
                system("be brief"),
                user("go"),
                Message("assistant", "first", (call,)),
                tool_result(call, "its text"),
            ),
            (VIEW,),
            tool_choice="required",
            temperature=0.5,
            max_tokens=77,
        )
    )
    assert (reply.text, reply.finish_reason) == ("I look.", "tool_calls")
    assert [(c.id, c.name, c.arguments) for c in reply.tool_calls] == [("2", "view", {"path": "b"})]
    assert ledger.snapshot().spent.tokens == reply.usage.total > 0
    ((messages, info),) = seen
    kinds = [[part.part_kind for part in one.parts] for one in messages]
    assert kinds == [["system-prompt", "user-prompt"], ["text", "tool-call"], ["tool-return"]]
    assert info.function_tools[0].parameters_json_schema == SCHEMA
    assert (info.model_settings["max_tokens"], info.model_settings["temperature"]) == (77, 0.5)
    assert info.allow_text_output is False
    model.close()


def test_threads_share_one_model() -> None:
    from pydantic_ai.models.test import TestModel

    from meritree.respond.plugins.pydantic_ai import PydanticAIModel

    model = PydanticAIModel(TestModel(custom_output_text="hi"), patience=NEVER)
    with ThreadPoolExecutor(8) as pool:
        texts = set(pool.map(lambda _: model.ask(Request((user("x"),))).text, range(40)))
    assert texts == {"hi"}
    model.close()


def test_its_failures_are_ours() -> None:
    import asyncio

    from pydantic_ai.exceptions import ModelHTTPError
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models.function import FunctionModel

    from meritree.respond.plugins.pydantic_ai import PydanticAIModel

    def refused(messages: Any, info: Any) -> ModelResponse:
        raise ModelHTTPError(401, "m", "wrong key")

    async def slow(messages: Any, info: Any) -> ModelResponse:
        await asyncio.sleep(60)
        raise AssertionError

    def nothing(messages: Any, info: Any) -> ModelResponse:
        return ModelResponse(parts=[])

    for function, error in ((refused, WrongKey), (slow, TimedOut), (nothing, EmptyReply)):
        model = PydanticAIModel(FunctionModel(function), patience=NEVER, timeout=0.2)
        with pytest.raises(error):
            model.ask(Request((user("x"),)))
        model.close()
